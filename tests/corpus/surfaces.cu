// Surfaces: reads and writes of every shape, each width of texel, what lies outside by each boundary mode.
#include "corpus.hpp"

using corpus::Buffer;

namespace {

constexpr int kWidth = 16, kHeight = 8, kDepth = 4;

struct Surface {
  Surface(cudaChannelFormatDesc format, int width, int height, int depth, unsigned flags) {
    CHECK(cudaMalloc3DArray(&array, &format, make_cudaExtent(width, height, depth), flags | cudaArraySurfaceLoadStore));
    cudaResourceDesc resource = {};
    resource.resType = cudaResourceTypeArray;
    resource.res.array.array = array;
    CHECK(cudaCreateSurfaceObject(&object, &resource));
  }
  ~Surface() { (void)cudaDestroySurfaceObject(object), (void)cudaFreeArray(array); }
  Surface(const Surface&) = delete;
  Surface& operator=(const Surface&) = delete;

  template <class T>
  std::vector<T> texels(int width, int height, int depth) const {
    CHECK(cudaGetLastError());
    std::vector<T> host(static_cast<std::size_t>(width) * height * depth);
    cudaMemcpy3DParms copy = {};
    copy.srcArray = array;
    copy.dstPtr = make_cudaPitchedPtr(host.data(), width * sizeof(T), width, height);
    copy.extent = make_cudaExtent(width, height, depth);
    copy.kind = cudaMemcpyDeviceToHost;
    CHECK(cudaMemcpy3D(&copy));
    return host;
  }

  cudaArray_t array = nullptr;
  cudaSurfaceObject_t object = 0;
};

}  // namespace

template <class T>
__device__ __host__ T made(int i);
template <>
__device__ __host__ unsigned char made(int i) {
  return static_cast<unsigned char>(i * 7 + 1);
}
template <>
__device__ __host__ short made(int i) {
  return static_cast<short>(i * 977 - 3);
}
template <>
__device__ __host__ int made(int i) {
  return i * 40503 - 9;
}
template <>
__device__ __host__ float made(int i) {
  return static_cast<float>(i) * 0.5f;
}
template <>
__device__ __host__ uchar4 made(int i) {
  return make_uchar4(static_cast<unsigned char>(i), 1, static_cast<unsigned char>(i * 3), 255);
}
template <>
__device__ __host__ float2 made(int i) {
  return make_float2(static_cast<float>(i), static_cast<float>(-i));
}
template <>
__device__ __host__ int4 made(int i) {
  return make_int4(i, ~i, i * 3, 7);
}

/// Blocks of 16 times 8 threads, one for each plane.
template <class T>
__global__ void fill(cudaSurfaceObject_t line, cudaSurfaceObject_t plane, cudaSurfaceObject_t box,
                     cudaSurfaceObject_t layers) {
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y), z = static_cast<int>(blockIdx.x);
  const int i = (z * kHeight + y) * kWidth + x, bytes = x * static_cast<int>(sizeof(T));
  if (i < kWidth) surf1Dwrite(made<T>(i), line, bytes);
  if (z == 0) surf2Dwrite(made<T>(i + 1), plane, bytes, y);
  surf3Dwrite(made<T>(i + 2), box, bytes, y, z);
  surf2DLayeredwrite(made<T>(i + 3), layers, bytes, y, z);
}

template <class T>
__global__ void read(T* out, cudaSurfaceObject_t line, cudaSurfaceObject_t plane, cudaSurfaceObject_t box,
                     cudaSurfaceObject_t layers) {
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y), z = static_cast<int>(blockIdx.x);
  const int i = (z * kHeight + y) * kWidth + x, bytes = (kWidth - 1 - x) * static_cast<int>(sizeof(T));
  out[4 * i] = surf1Dread<T>(line, bytes);
  out[4 * i + 1] = surf2Dread<T>(plane, bytes, kHeight - 1 - y);
  out[4 * i + 2] = surf3Dread<T>(box, bytes, kHeight - 1 - y, kDepth - 1 - z);
  out[4 * i + 3] = surf2DLayeredread<T>(layers, bytes, kHeight - 1 - y, kDepth - 1 - z);
}

template <class T>
static void shapes(const std::string& name) {
  const auto format = cudaCreateChannelDesc<T>();
  const Surface line(format, kWidth, 0, 0, 0), plane(format, kWidth, kHeight, 0, 0),
      box(format, kWidth, kHeight, kDepth, 0), layers(format, kWidth, kHeight, kDepth, cudaArrayLayered);
  fill<T><<<kDepth, dim3(kWidth, kHeight)>>>(line.object, plane.object, box.object, layers.object);
  const auto wanted = [](int count, int more) {
    std::vector<T> values;
    for (int i = 0; i < count; ++i) values.push_back(made<T>(i + more));
    return values;
  };
  const int area = kWidth * kHeight;
  corpus::exact((name + "_1d").c_str(), line.texels<T>(kWidth, 1, 1), wanted(kWidth, 0));
  corpus::exact((name + "_2d").c_str(), plane.texels<T>(kWidth, kHeight, 1), wanted(area, 1));
  corpus::exact((name + "_3d").c_str(), box.texels<T>(kWidth, kHeight, kDepth), wanted(area * kDepth, 2));
  corpus::exact((name + "_layers").c_str(), layers.texels<T>(kWidth, kHeight, kDepth), wanted(area * kDepth, 3));

  const Buffer<T> out(static_cast<std::size_t>(area) * kDepth * 4);
  read<T><<<kDepth, dim3(kWidth, kHeight)>>>(out.get(), line.object, plane.object, box.object, layers.object);
  std::vector<T> back;
  for (int i = 0; i < area * kDepth; ++i) {
    back.push_back(made<T>(kWidth - 1 - i % kWidth));
    back.push_back(made<T>(area - 1 - i % area + 1));
    back.push_back(made<T>(area * kDepth - 1 - i + 2));
    back.push_back(made<T>(area * kDepth - 1 - i + 3));
  }
  corpus::exact((name + "_read").c_str(), out.values(), back);
}

/// Threads from 4 texels before the first to 4 after the last.
__global__ void outside(int* clamped, int* zero, cudaSurfaceObject_t plane) {
  const int x = static_cast<int>(threadIdx.x) - 4, y = static_cast<int>(threadIdx.y) - 4;
  const unsigned i = threadIdx.y * blockDim.x + threadIdx.x;
  clamped[i] = surf2Dread<int>(plane, x * 4, y, cudaBoundaryModeClamp);
  zero[i] = surf2Dread<int>(plane, x * 4, y, cudaBoundaryModeZero);
}
__global__ void write_outside(cudaSurfaceObject_t plane) {
  const int x = static_cast<int>(threadIdx.x) - 4, y = static_cast<int>(threadIdx.y) - 4;
  surf2Dwrite(x * 100 + y, plane, x * 4, y, cudaBoundaryModeZero);  // nothing is written outside
}
__global__ void trapped(int* out, cudaSurfaceObject_t plane, int x) {
  *out = surf2Dread<int>(plane, x * 4, 0, cudaBoundaryModeTrap);
}

static void boundaries() {
  const Surface plane(cudaCreateChannelDesc<int>(), kWidth, kHeight, 0, 0);
  const int columns = kWidth + 8, rows = kHeight + 8;
  write_outside<<<1, dim3(columns, rows)>>>(plane.object);
  std::vector<int> texels, clamped, zero;
  for (int i = 0; i < kWidth * kHeight; ++i) texels.push_back(i % kWidth * 100 + i / kWidth);
  corpus::exact("written_within", plane.texels<int>(kWidth, kHeight, 1), texels);
  const Buffer<int> got_clamped(columns * rows), got_zero(columns * rows);
  outside<<<1, dim3(columns, rows)>>>(got_clamped.get(), got_zero.get(), plane.object);
  for (int i = 0; i < columns * rows; ++i) {
    const int x = i % columns - 4, y = i / columns - 4;
    const int in_x = std::min(std::max(x, 0), kWidth - 1), in_y = std::min(std::max(y, 0), kHeight - 1);
    clamped.push_back(texels[in_y * kWidth + in_x]);
    zero.push_back(in_x == x && in_y == y ? clamped.back() : 0);
  }
  corpus::exact("clamped", got_clamped.values(), clamped);
  corpus::exact("zero", got_zero.values(), zero);
}

/// Faces of a cube are written as layers are; a texture reads what a surface wrote in the launch before.
__global__ void fill_cube(cudaSurfaceObject_t cube) {
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y), face = static_cast<int>(blockIdx.x);
  surfCubemapwrite(static_cast<float>(face * 64 + y * 8 + x), cube, x * 4, y, face);
}
__global__ void read_cube(float* out, cudaTextureObject_t cube, cudaSurfaceObject_t surface) {
  const unsigned i = threadIdx.x;
  const float directions[6][3] = {{1, 0.1f, 0.1f},  {-1, 0.1f, 0.1f}, {0.1f, 1, 0.1f},
                                  {0.1f, -1, 0.1f}, {0.1f, 0.1f, 1},  {0.1f, 0.1f, -1}};
  out[i] = texCubemap<float>(cube, directions[i][0], directions[i][1], directions[i][2]);
  out[i + 6] = surfCubemapread<float>(surface, static_cast<int>(i) * 4, 3, static_cast<int>(i));
}

static void cube() {
  const Surface surface(cudaCreateChannelDesc<float>(), 8, 8, 6, cudaArrayCubemap);
  fill_cube<<<6, dim3(8, 8)>>>(surface.object);
  cudaResourceDesc resource = {};
  resource.resType = cudaResourceTypeArray;
  resource.res.array.array = surface.array;
  cudaTextureDesc description = {};
  description.normalizedCoords = 1;
  cudaTextureObject_t texture = 0;
  CHECK(cudaCreateTextureObject(&texture, &resource, &description, nullptr));
  const Buffer<float> out(12);
  read_cube<<<1, 6>>>(out.get(), texture, surface.object);
  // A tenth from the middle is the texel beside it, on the side that the face's own axes say.
  const int columns[] = {3, 4, 4, 4, 4, 3}, rows[] = {3, 3, 4, 3, 3, 3};
  std::vector<float> wanted;
  for (int face = 0; face < 6; ++face) wanted.push_back(static_cast<float>(face * 64 + rows[face] * 8 + columns[face]));
  for (int face = 0; face < 6; ++face) wanted.push_back(static_cast<float>(face * 64 + 24 + face));
  corpus::exact("cube", out.values(), wanted);
  CHECK(cudaDestroyTextureObject(texture));
}

int main() {
  shapes<unsigned char>("uchar");
  shapes<short>("short");
  shapes<int>("int");
  shapes<float>("float");
  shapes<uchar4>("uchar4");
  shapes<float2>("float2");
  shapes<int4>("int4");
  boundaries();
  cube();
  // Last: the trap ends the context.
  const Surface plane(cudaCreateChannelDesc<int>(), kWidth, kHeight, 0, 0);
  const Buffer<int> out(1);
  trapped<<<1, 1>>>(out.get(), plane.object, 3);
  CHECK(cudaDeviceSynchronize());
  trapped<<<1, 1>>>(out.get(), plane.object, kWidth);
  const cudaError_t error = cudaDeviceSynchronize();
  std::printf("case trapped error=%s\n", cudaGetErrorName(error));
  REQUIRE(error != cudaSuccess, "a read outside in trap mode is no error");
  std::printf("surfaces: ok\n");
}
