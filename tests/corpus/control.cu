// Control flow: divergence, loops of different length, switch tables, calls direct, recursive, indirect and virtual.
#include "corpus.hpp"

using u32 = unsigned;

namespace {
constexpr int kCount = 1000;
}

#define BOTH __host__ __device__

struct Wanted {
  BOTH bool operator()(u32 v) const { return v % 37 == 0 && v % 5 == 1; }
};

BOTH u32 collatz(u32 x) {
  u32 steps = 0;
  for (x |= 1; x != 1 && steps < 500; ++steps) {
    if (x & 1) {
      if (x > 0x40000000u) break;
      x = 3 * x + 1;
    } else {
      x >>= 1;
    }
  }
  return steps;
}

BOTH u32 gcd(u32 a, u32 b) {
  while (b != 0) {
    const u32 t = a % b;
    a = b;
    b = t;
  }
  return a;
}

BOTH u32 nested(u32 x, u32 y) {
  u32 sum = 0;
  for (u32 i = 0; i < (x & 7); ++i) {
    if (i & 1) continue;
    for (u32 j = i; j < (y & 7); ++j) {
      if ((i + j) % 3 == 0) {
        sum += i * j;
        if (sum > 40) goto out;
      } else if ((x >> j) & 1) {
        sum ^= j;
      } else {
        do {
          sum += 3;
        } while (sum % 5 != 0);
      }
    }
  }
out:
  return sum * 7 + (x > y ? 1 : 2);
}

BOTH u32 switched(u32 x, u32 y) {
  switch (x % 13) {
    case 0:
      return y + 1;
    case 1:
      y *= 3;
      [[fallthrough]];
    case 2:
      y ^= 0x55;
      break;
    case 3:
      return y / 7;
    case 4:
      y += collatz(y & 255);
      break;
    case 5:
      return y << 5;
    case 6:
      y = ~y;
      break;
    case 7:
      return gcd(y | 1, 360);
    case 8:
      y -= x;
      break;
    case 9:
      return y % 11;
    case 10:
      y = (y >> 3) | (y << 29);
      break;
    default:
      y = x ^ y;
  }
  return y + 1000;
}

template <class F>
BOTH u32 early_exit(u32 x, F f) {
  for (u32 i = 0;; ++i) {
    if (f(x + i)) return i;
    if (i > 300) return 12345;
  }
}

__host__ __device__ __noinline__ u32 ackermann(u32 m, u32 n) {
  if (m == 0) return n + 1;
  if (n == 0) return ackermann(m - 1, 1);
  return ackermann(m - 1, ackermann(m, n - 1));
}

__host__ __device__ __noinline__ u32 fibonacci(u32 n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

__host__ __device__ __noinline__ bool odd(u32 n);
__host__ __device__ __noinline__ bool even(u32 n) { return n == 0 || odd(n - 1); }
__host__ __device__ __noinline__ bool odd(u32 n) { return n != 0 && even(n - 1); }

struct Wide {
  u32 a;
  double b;
  unsigned char c[5];
  short d;
};

__host__ __device__ __noinline__ Wide by_value(Wide in, char add) {
  in.a += add;
  in.b *= 2;
  in.c[3] = static_cast<unsigned char>(in.c[1] + add);
  in.d = static_cast<short>(-in.d);
  return in;
}

BOTH u32 use_wide(u32 x, u32 y) {
  Wide w{x, static_cast<double>(y & 1023), {1, 2, static_cast<unsigned char>(x), 4, 5}, static_cast<short>(y)};
  w = by_value(w, static_cast<char>(x & 15));
  return w.a + static_cast<u32>(w.b) + w.c[3] * 256u + w.c[2] + static_cast<u32>(static_cast<int>(w.d));
}

using Operation = u32 (*)(u32, u32);
__host__ __device__ __noinline__ u32 op_add(u32 a, u32 b) { return a + b; }
__host__ __device__ __noinline__ u32 op_xor(u32 a, u32 b) { return a ^ b; }
__host__ __device__ __noinline__ u32 op_mix(u32 a, u32 b) { return (a << 3) * 5 + b / 3; }
__host__ __device__ __noinline__ u32 op_walk(u32 a, u32 b) { return collatz(a & 127) + b; }
__device__ Operation device_table[4] = {op_add, op_xor, op_mix, op_walk};
__constant__ Operation constant_table[2] = {op_mix, op_add};
const Operation host_table[4] = {op_add, op_xor, op_mix, op_walk};

struct Shape {
  __host__ __device__ explicit Shape(u32 size) : size(size) {}
  __host__ __device__ virtual ~Shape() {}
  __host__ __device__ virtual u32 area() const = 0;
  __host__ __device__ virtual u32 edges() const { return 4; }
  u32 size;
};
struct Square : Shape {
  using Shape::Shape;
  __host__ __device__ u32 area() const override { return size * size; }
};
struct Triangle : Shape {
  using Shape::Shape;
  __host__ __device__ u32 area() const override { return size * size / 2; }
  __host__ __device__ u32 edges() const override { return 3; }
};
struct Named {
  __host__ __device__ virtual u32 name() const { return 7; }
};
struct Both : Square, Named {
  using Square::Square;
  __host__ __device__ u32 name() const override { return size + 9; }
  __host__ __device__ u32 area() const override { return Square::area() + 1; }
};

BOTH u32 shapes(u32 x, u32 y) {
  Square square(x & 255);
  Triangle triangle(y & 255);
  Both both(x & 15);
  const Shape* all[3] = {&square, &triangle, &both};
  const Shape* one = all[(x ^ y) % 3];
  const Named* named = &both;
  return one->area() * 10 + one->edges() + named->name() * 100000;
}

template <int N>
BOTH u32 unrolled(u32 x) {
  u32 sum = x;
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
  for (int i = 0; i < N; ++i) sum = sum * 31 + (sum >> i);
  return sum;
}

ELEMENTWISE(loops_of_different_length, u32, u32, collatz(x & 4095), collatz(x & 4095))
ELEMENTWISE(loop_until_equal, u32, u32, gcd(x, y | 1), gcd(x, y | 1))
ELEMENTWISE(nested_branches, u32, u32, nested(x, y), nested(x, y))
ELEMENTWISE(switch_table, u32, u32, switched(x, y) + switched(z, x), switched(x, y) + switched(z, x))
ELEMENTWISE(return_from_loop, u32, u32, early_exit(x & 255, Wanted{}), early_exit(x & 255, Wanted{}))
ELEMENTWISE(short_circuit, u32, u32,
            (x & 1 && y / (x & 7 ? x & 7 : 1) > 100000u) || (z & 4 && !(y & 8)) ? x + 1 : y - 1,
            (x & 1 && y / (x & 7 ? x & 7 : 1) > 100000u) || (z & 4 && !(y & 8)) ? x + 1 : y - 1)
ELEMENTWISE(recursion, u32, u32, fibonacci(x & 7) + ackermann(1, y & 7), fibonacci(x & 7) + ackermann(1, y & 7))
ELEMENTWISE(mutual_recursion, u32, u32, even(x & 31) ? y : z, even(x & 31) ? y : z)
ELEMENTWISE(structs_by_value, u32, u32, use_wide(x, y), use_wide(x, y))
ELEMENTWISE(function_pointers, u32, u32, device_table[x & 3](y, z) + constant_table[y & 1](x, z),
            host_table[x & 3](y, z) + (y & 1 ? op_add : op_mix)(x, z))
ELEMENTWISE(virtual_functions, u32, u32, shapes(x, y), shapes(x, y))
ELEMENTWISE(templates_unrolled, u32, u32, unrolled<3>(x) + unrolled<17>(y), unrolled<3>(x) + unrolled<17>(y))

/// Each lane leaves the loop at another round; those left must still work together after it.
__global__ void reconverge(u32* out) {
  const u32 lane = threadIdx.x;
  u32 sum = 0;
  for (u32 i = 0; i <= lane; ++i) {
    if (i % 3 == lane % 3) {
      sum += i;
    } else if (i > 20) {
      sum ^= 0x100;
    }
  }
  __syncwarp();
  out[blockIdx.x * 32 + lane] = sum + 1000 * __popc(__ballot_sync(~0u, sum & 1));
}

/// Half of the warps return early; the rest meet at the barrier.
__global__ void early_return(u32* out) {
  __shared__ u32 cells[128];
  cells[threadIdx.x] = threadIdx.x * 3;
  if (threadIdx.x >= 96) return;
  __syncthreads();
  out[blockIdx.x * 96 + threadIdx.x] = cells[95 - threadIdx.x] + blockIdx.x;
}

/// A function pointer that the host chose, and copied from the device.
__device__ Operation chosen = op_walk;
__global__ void call_chosen(u32* out, Operation operation) {
  const u32 i = threadIdx.x;
  out[i] = operation(i, i * i);
}

int main() {
  const auto words = corpus::any_bits<u32>(kCount);
  RUN_EXACT(loops_of_different_length, words);
  RUN_EXACT(loop_until_equal, words);
  RUN_EXACT(nested_branches, words);
  RUN_EXACT(switch_table, words);
  RUN_EXACT(return_from_loop, words);
  RUN_EXACT(short_circuit, words);
  RUN_EXACT(recursion, words);
  RUN_EXACT(mutual_recursion, words);
  RUN_EXACT(structs_by_value, words);
  RUN_EXACT(function_pointers, words);
  RUN_EXACT(virtual_functions, words);
  RUN_EXACT(templates_unrolled, words);
  {
    corpus::Buffer<u32> out(4 * 32);
    reconverge<<<4, 32>>>(out);
    std::vector<u32> wanted(4 * 32);
    u32 ones = 0;
    for (u32 lane = 0; lane < 32; ++lane) {
      u32 sum = 0;
      for (u32 i = 0; i <= lane; ++i) i % 3 == lane % 3 ? sum += i : sum ^= i > 20 ? 0x100 : 0;
      wanted[lane] = sum;
      ones += sum & 1;
    }
    for (u32 i = 0; i < 128; ++i) wanted[i] = wanted[i % 32] + (i < 32 ? 1000 * ones : 0);
    corpus::exact("reconverge", out.values(), wanted);
  }
  {
    corpus::Buffer<u32> out(3 * 96);
    early_return<<<3, 128>>>(out);
    std::vector<u32> wanted(3 * 96);
    for (u32 i = 0; i < wanted.size(); ++i) wanted[i] = (95 - i % 96) * 3 + i / 96;
    corpus::exact("early_return", out.values(), wanted);
  }
  {
    Operation operation = nullptr;
    CHECK(cudaMemcpyFromSymbol(&operation, chosen, sizeof operation));
    corpus::Buffer<u32> out(64);
    call_chosen<<<1, 64>>>(out, operation);
    std::vector<u32> wanted(64);
    for (u32 i = 0; i < 64; ++i) wanted[i] = op_walk(i, i * i);
    corpus::exact("call_chosen", out.values(), wanted);
  }
  std::printf("control: ok\n");
}
