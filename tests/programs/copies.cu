// Copies in all directions, pageable and pinned, synchronous and asynchronous, in odd sizes, at odd addresses, in two
// dimensions, and 64 MiB in one piece. Each byte that comes back is compared, and so are the bytes around it.
#include <cstring>
#include <memory>
#include <vector>

#include "check.hpp"

using Byte = unsigned char;

static void fill_numbers(Byte* bytes, size_t count, unsigned seed) {
  Numbers numbers(seed);
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const unsigned long long word = numbers.next();
    std::memcpy(bytes + i, &word, 8);
  }
  for (; i < count; ++i) bytes[i] = static_cast<Byte>(numbers.next());
}

static unsigned long long checksum(const Byte* bytes, size_t count) {
  unsigned long long sum = 0xcbf29ce484222325ull;
  for (size_t i = 0; i < count; ++i) sum = (sum ^ bytes[i]) * 0x100000001b3ull;
  return sum;
}

static void expect_equal(const Byte* got, const Byte* wanted, size_t count, const char* what, size_t size) {
  if (std::memcmp(got, wanted, count) == 0) return;
  size_t i = 0;
  while (got[i] == wanted[i]) ++i;
  fail("%s of %zu bytes: byte %zu is %02x, not %02x", what, size, i, got[i], wanted[i]);
}

/// Host memory of either kind, freed at the end.
class HostBuffer {
 public:
  HostBuffer(size_t bytes, bool pinned) : pinned_(pinned) {
    if (pinned)
      CHECK(cudaMallocHost(&data_, bytes));
    else
      data_ = static_cast<Byte*>(std::malloc(bytes));
    REQUIRE(data_ != nullptr, "no memory");
  }
  HostBuffer(const HostBuffer&) = delete;
  HostBuffer& operator=(const HostBuffer&) = delete;
  ~HostBuffer() {
    if (pinned_)
      CHECK(cudaFreeHost(data_));
    else
      std::free(data_);
  }
  Byte* data() { return data_; }

 private:
  Byte* data_ = nullptr;
  bool pinned_;
};

static void odd_sizes(bool pinned) {
  const size_t most = 3 * 1048576 + 17;
  HostBuffer source(most, pinned), target(most + 32, pinned);
  Byte *device, *other;
  CHECK(cudaMalloc(&device, most + 64));
  CHECK(cudaMalloc(&other, most + 64));
  fill_numbers(source.data(), most, pinned ? 8 : 7);
  cudaStream_t stream;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  const size_t sizes[] = {1,    2,     3,     4,     31,    63,    64,      65,      255,     4095, 4096,
                          4097, 32767, 32768, 32769, 65535, 65537, 1048575, 1048576, 1048577, most};
  for (size_t size : sizes) {
    for (size_t shift : {size_t{0}, size_t{5}}) {
      if (size + shift > most) continue;
      std::memset(target.data(), 0xa5, most + 32);
      CHECK(cudaMemcpy(device + shift, source.data() + shift, size, cudaMemcpyHostToDevice));
      CHECK(cudaMemcpy(other + 3, device + shift, size, cudaMemcpyDeviceToDevice));
      CHECK(cudaMemcpy(target.data() + 16, other + 3, size, cudaMemcpyDeviceToHost));
      expect_equal(target.data() + 16, source.data() + shift, size, "copy", size);
      REQUIRE(target.data()[15] == 0xa5 && target.data()[16 + size] == 0xa5,
              "a copy of %zu bytes wrote beside its target", size);
      std::memset(target.data(), 0x5a, most + 32);
      CHECK(cudaMemsetAsync(other, 0, most + 64, stream));
      CHECK(cudaMemcpyAsync(device + shift, source.data() + shift, size, cudaMemcpyHostToDevice, stream));
      CHECK(cudaMemcpyAsync(other + 7, device + shift, size, cudaMemcpyDeviceToDevice, stream));
      CHECK(cudaMemcpyAsync(target.data() + 16, other + 7, size, cudaMemcpyDefault, stream));
      CHECK(cudaStreamSynchronize(stream));
      expect_equal(target.data() + 16, source.data() + shift, size, "asynchronous copy", size);
      REQUIRE(target.data()[15] == 0x5a && target.data()[16 + size] == 0x5a,
              "an asynchronous copy of %zu bytes wrote beside its target", size);
    }
  }
  // A pageable source may be changed as soon as the call is back.
  if (!pinned) {
    const size_t size = 100000;
    std::vector<Byte> temporary(source.data(), source.data() + size);
    CHECK(cudaMemcpyAsync(device, temporary.data(), size, cudaMemcpyHostToDevice, stream));
    std::memset(temporary.data(), 0, size);
    CHECK(cudaMemcpyAsync(target.data(), device, size, cudaMemcpyDeviceToHost, stream));
    CHECK(cudaStreamSynchronize(stream));
    expect_equal(target.data(), source.data(), size, "copy from a source that changed afterwards", size);
  }
  CHECK(cudaStreamDestroy(stream));
  CHECK(cudaFree(device));
  CHECK(cudaFree(other));
}

static unsigned long long large(bool pinned) {
  const size_t size = 64u << 20;
  HostBuffer source(size, pinned), target(size, pinned);
  fill_numbers(source.data(), size, 9);
  Byte* device;
  CHECK(cudaMalloc(&device, size));
  CHECK(cudaMemcpy(device, source.data(), size, cudaMemcpyHostToDevice));
  std::memset(target.data(), 0, size);
  CHECK(cudaMemcpy(target.data(), device, size, cudaMemcpyDeviceToHost));
  expect_equal(target.data(), source.data(), size, pinned ? "pinned copy" : "pageable copy", size);
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaMemsetAsync(device, 0, size, stream));
  CHECK(cudaMemcpyAsync(device, source.data(), size, cudaMemcpyHostToDevice, stream));
  std::memset(target.data(), 0, size);
  CHECK(cudaMemcpyAsync(target.data(), device, size, cudaMemcpyDeviceToHost, stream));
  CHECK(cudaStreamSynchronize(stream));
  expect_equal(target.data(), source.data(), size, "large asynchronous copy", size);
  CHECK(cudaStreamDestroy(stream));
  CHECK(cudaFree(device));
  return checksum(target.data(), size);
}

static void two_dimensions(bool pinned) {
  const size_t width = 333, height = 71, host_pitch = 400;
  HostBuffer source(host_pitch * height, pinned), target(host_pitch * height, pinned);
  fill_numbers(source.data(), host_pitch * height, 10);
  Byte* device;
  size_t pitch = 0;
  CHECK(cudaMallocPitch(&device, &pitch, width, height));
  REQUIRE(pitch >= width, "the pitch is %zu", pitch);
  for (bool async : {false, true}) {
    std::memset(target.data(), 0x77, host_pitch * height);
    CHECK(cudaMemset2D(device, pitch, 0x11, width, height));
    if (async) {
      CHECK(cudaMemcpy2DAsync(device, pitch, source.data(), host_pitch, width, height, cudaMemcpyHostToDevice, 0));
      CHECK(cudaMemcpy2DAsync(target.data(), host_pitch, device, pitch, width, height, cudaMemcpyDeviceToHost, 0));
      CHECK(cudaStreamSynchronize(0));
    } else {
      CHECK(cudaMemcpy2D(device, pitch, source.data(), host_pitch, width, height, cudaMemcpyHostToDevice));
      CHECK(cudaMemcpy2D(target.data(), host_pitch, device, pitch, width, height, cudaMemcpyDeviceToHost));
    }
    for (size_t row = 0; row < height; ++row) {
      expect_equal(target.data() + row * host_pitch, source.data() + row * host_pitch, width, "row of a 2D copy",
                   width);
      for (size_t i = width; i < host_pitch; ++i)
        REQUIRE(target.data()[row * host_pitch + i] == 0x77, "a 2D copy wrote beside row %zu", row);
    }
  }
  // A block out of the middle, and a block within the device.
  CHECK(cudaMemcpy2D(device + 10 * pitch + 100, pitch, device, pitch, 50, 8, cudaMemcpyDeviceToDevice));
  CHECK(cudaMemcpy2D(target.data(), host_pitch, device + 10 * pitch + 100, pitch, 50, 8, cudaMemcpyDeviceToHost));
  for (size_t row = 0; row < 8; ++row)
    expect_equal(target.data() + row * host_pitch, source.data() + row * host_pitch, 50, "2D copy within the device",
                 50);
  CHECK(cudaFree(device));
}

static void sets() {
  const size_t size = 100003;
  Byte* device;
  CHECK(cudaMalloc(&device, size));
  std::vector<Byte> got(size), wanted(size, 0);
  CHECK(cudaMemset(device, 0, size));
  CHECK(cudaMemset(device + 1, 0xab, 4099));
  std::memset(wanted.data() + 1, 0xab, 4099);
  CHECK(cudaMemset2D(device + 8192, 1000, 0x3c, 77, 20));
  for (size_t row = 0; row < 20; ++row) std::memset(wanted.data() + 8192 + row * 1000, 0x3c, 77);
  CHECK(cudaMemcpy(got.data(), device, size, cudaMemcpyDeviceToHost));
  expect_equal(got.data(), wanted.data(), size, "memset", size);
  CHECK(cudaFree(device));
}

int main() {
  for (bool pinned : {false, true}) {
    odd_sizes(pinned);
    two_dimensions(pinned);
  }
  sets();
  const unsigned long long pageable = large(false);
  const unsigned long long pinned = large(true);
  REQUIRE(pageable == pinned, "checksums differ: %016llx and %016llx", pageable, pinned);
  std::printf("copies: ok, 64 MiB with checksum %016llx\n", pinned);
  return 0;
}
