// Textures: every kind of resource, address modes, filters, read modes, normalized coordinates, gathers, levels.
// Texels are small integers and weights are quarters, which the filter's 8 bits of fraction hold: its results are
// exact.
#include <functional>

#include "corpus.hpp"

namespace {

using corpus::Buffer;

constexpr int kCount = 256;

/// Points in quarters of a texel, from outside on one side to outside on the other.
struct Points {
  explicit Points(float scale_x, float scale_y = 1, float scale_z = 1, float grain = 0.25f) {
    Numbers numbers(9);
    for (int i = 0; i < kCount; ++i) {
      const auto next = [&](float scale) {
        return (grain * static_cast<float>(static_cast<int>(numbers.next() >> 33) % 96 - 32) + grain / 2) * scale;
      };
      x.push_back(next(scale_x)), y.push_back(next(scale_y)), z.push_back(next(scale_z));
    }
  }
  std::vector<float> x, y, z;
};

struct Sampling {
  cudaTextureAddressMode address = cudaAddressModeClamp;
  cudaTextureFilterMode filter = cudaFilterModePoint;
  cudaTextureReadMode read = cudaReadModeElementType;
  bool normalized = false;
  cudaTextureFilterMode mip_filter = cudaFilterModePoint;
  float max_level = 0;
};

/// The mode counts for the dimensions that there are; the others keep clamp: an H100 reads a line as a plane of one row
/// and would mix in the border beside it.
cudaTextureObject_t texture_of(const cudaResourceDesc& resource, const Sampling& sampling, int dimensions = 3) {
  cudaTextureDesc description = {};
  for (int d = 0; d < 3; ++d) description.addressMode[d] = d < dimensions ? sampling.address : cudaAddressModeClamp;
  description.filterMode = sampling.filter;
  description.readMode = sampling.read;
  description.normalizedCoords = sampling.normalized;
  description.mipmapFilterMode = sampling.mip_filter;
  description.maxMipmapLevelClamp = sampling.max_level;
  cudaTextureObject_t texture = 0;
  CHECK(cudaCreateTextureObject(&texture, &resource, &description, nullptr));
  return texture;
}

cudaResourceDesc array_resource(cudaArray_t array) {
  cudaResourceDesc resource = {};
  resource.resType = cudaResourceTypeArray;
  resource.res.array.array = array;
  return resource;
}

/// An array of the device with its contents on the host, layers or faces as its depth.
template <class T>
struct Image {
  Image(int columns, int rows, int planes, unsigned flags, std::function<T(int)> texel)
      : width(columns), height(rows), depth(planes) {
    const int count = width * std::max(height, 1) * std::max(depth, 1);
    for (int i = 0; i < count; ++i) texels.push_back(texel(i));
    const auto format = cudaCreateChannelDesc<T>();
    CHECK(cudaMalloc3DArray(&array, &format, make_cudaExtent(width, height, depth), flags));
    fill(array, texels, width, height, depth);
  }
  ~Image() { (void)cudaFreeArray(array); }
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;

  static void fill(cudaArray_t array, const std::vector<T>& texels, int width, int height, int depth) {
    cudaMemcpy3DParms copy = {};
    copy.srcPtr = make_cudaPitchedPtr(const_cast<T*>(texels.data()), width * sizeof(T), width, std::max(height, 1));
    copy.dstArray = array;
    copy.extent = make_cudaExtent(width, std::max(height, 1), std::max(depth, 1));
    copy.kind = cudaMemcpyHostToDevice;
    CHECK(cudaMemcpy3D(&copy));
  }
  T at(int x, int y, int z) const {
    return texels[(static_cast<std::size_t>(z) * std::max(height, 1) + y) * width + x];
  }

  int width, height, depth;
  std::vector<T> texels;
  cudaArray_t array = nullptr;
};

/// The index of a texel in range, or -1 for the border.
int addressed(int i, int n, cudaTextureAddressMode mode) {
  switch (mode) {
    case cudaAddressModeWrap:
      return ((i % n) + n) % n;
    case cudaAddressModeMirror: {
      const int period = ((i % (2 * n)) + 2 * n) % (2 * n);
      return period < n ? period : 2 * n - 1 - period;
    }
    case cudaAddressModeBorder:
      return i < 0 || i >= n ? -1 : i;
    default:
      return std::min(std::max(i, 0), n - 1);
  }
}

/// What the CUDA C++ Programming Guide's section on texture fetching defines.
double sampled(const std::function<double(int, int, int)>& texel, const int (&size)[3], int dimensions,
               const float (&at)[3], Sampling sampling) {
  int low[3] = {0, 0, 0};
  double weight[3] = {0, 0, 0};
  auto mode = sampling.address;
  if (!sampling.normalized && (mode == cudaAddressModeWrap || mode == cudaAddressModeMirror))
    mode = cudaAddressModeClamp;
  for (int d = 0; d < dimensions; ++d) {
    double x = sampling.normalized ? static_cast<double>(at[d]) * size[d] : static_cast<double>(at[d]);
    if (sampling.filter == cudaFilterModeLinear) x -= 0.5;
    low[d] = static_cast<int>(std::floor(x));
    weight[d] = sampling.filter == cudaFilterModeLinear ? x - std::floor(x) : 0;
  }
  double sum = 0;
  for (int corner = 0; corner < (1 << dimensions); ++corner) {
    double share = 1;
    int index[3] = {0, 0, 0};
    bool border = false;
    for (int d = 0; d < dimensions; ++d) {
      const int step = corner >> d & 1;
      share *= step ? weight[d] : 1 - weight[d];
      index[d] = addressed(low[d] + step, size[d], mode);
      border = border || index[d] < 0;
    }
    if (share != 0 && !border) sum += share * texel(index[0], index[1], index[2]);
  }
  return sum;
}

template <class T>
__global__ void read_1d(T* out, cudaTextureObject_t texture, const float* x) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  out[i] = tex1D<T>(texture, x[i]);
}
template <class T>
__global__ void read_2d(T* out, cudaTextureObject_t texture, const float* x, const float* y) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  out[i] = tex2D<T>(texture, x[i], y[i]);
}
template <class T>
__global__ void read_3d(T* out, cudaTextureObject_t texture, const float* x, const float* y, const float* z) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  out[i] = tex3D<T>(texture, x[i], y[i], z[i]);
}
template <class T>
__global__ void fetch_1d(T* out, cudaTextureObject_t texture, int first) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  out[i] = tex1Dfetch<T>(texture, i + first);
}
__global__ void read_layers(float* out, cudaTextureObject_t one, cudaTextureObject_t two, const float* x,
                            const float* y) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  out[2 * i] = tex1DLayered<float>(one, x[i], i % 3);
  out[2 * i + 1] = tex2DLayered<float>(two, x[i], y[i], i % 3);
}
__global__ void read_cube(float* out, cudaTextureObject_t cube, cudaTextureObject_t layered, const float* x,
                          const float* y, const float* z) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  out[2 * i] = texCubemap<float>(cube, x[i], y[i], z[i]);
  out[2 * i + 1] = texCubemapLayered<float>(layered, x[i], y[i], z[i], i & 1);
}
__global__ void gather(float4* out, cudaTextureObject_t texture, const float* x, const float* y) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  switch (i & 3) {
    case 0:
      out[i] = tex2Dgather<float4>(texture, x[i], y[i], 0);
      break;
    case 1:
      out[i] = tex2Dgather<float4>(texture, x[i], y[i], 1);
      break;
    case 2:
      out[i] = tex2Dgather<float4>(texture, x[i], y[i], 2);
      break;
    default:
      out[i] = tex2Dgather<float4>(texture, x[i], y[i], 3);
  }
}
__global__ void read_levels(float* out, cudaTextureObject_t texture, const float* x, const float* y, float step) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  out[i] = tex2DLod<float>(texture, x[i], y[i], static_cast<float>(i % 9) * step);
}
__global__ void read_gradients(float* out, cudaTextureObject_t texture, const float* x, const float* y, float texel) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const float length = texel * static_cast<float>(1 << (i & 3));
  out[i] = tex2DGrad<float>(texture, x[i], y[i], make_float2(length, 0), make_float2(0, length));
}

const char* name_of(cudaTextureAddressMode mode) {
  switch (mode) {
    case cudaAddressModeWrap:
      return "wrap";
    case cudaAddressModeMirror:
      return "mirror";
    case cudaAddressModeBorder:
      return "border";
    default:
      return "clamp";
  }
}

void modes() {
  const Image<float> line(16, 0, 0, 0, [](int i) { return static_cast<float>(i * 7 % 32); });
  const Image<float> plane(16, 8, 0, 0, [](int i) { return static_cast<float>(i * 13 % 64); });
  const Image<float> box(16, 8, 4, 0, [](int i) { return static_cast<float>(i * 29 % 128); });
  for (const auto mode : {cudaAddressModeClamp, cudaAddressModeBorder, cudaAddressModeWrap, cudaAddressModeMirror}) {
    for (const auto filter : {cudaFilterModePoint, cudaFilterModeLinear}) {
      for (const bool normalized : {false, true}) {
        Sampling sampling;
        sampling.address = mode, sampling.filter = filter, sampling.normalized = normalized;
        const Points points(normalized ? 1.0f / 16 : 1, normalized ? 1.0f / 8 : 1, normalized ? 1.0f / 4 : 1);
        const Buffer<float> x(points.x), y(points.y), z(points.z), out(kCount);
        const auto one = texture_of(array_resource(line.array), sampling, 1);
        const auto two = texture_of(array_resource(plane.array), sampling, 2);
        const auto three = texture_of(array_resource(box.array), sampling);
        for (int dimensions = 1; dimensions <= 3; ++dimensions) {
          const Image<float>& image = dimensions == 1 ? line : dimensions == 2 ? plane : box;
          std::vector<float> wanted;
          for (int i = 0; i < kCount; ++i)
            wanted.push_back(static_cast<float>(sampled([&](int a, int b, int c) { return image.at(a, b, c); },
                                                        {image.width, image.height, image.depth}, dimensions,
                                                        {points.x[i], points.y[i], points.z[i]}, sampling)));
          if (dimensions == 1) read_1d<float><<<2, 128>>>(out.get(), one, x.get());
          if (dimensions == 2) read_2d<float><<<2, 128>>>(out.get(), two, x.get(), y.get());
          if (dimensions == 3) read_3d<float><<<2, 128>>>(out.get(), three, x.get(), y.get(), z.get());
          const std::string name = std::string("array_") + std::to_string(dimensions) + "d_" + name_of(mode) +
                                   (filter == cudaFilterModeLinear ? "_linear" : "_point") +
                                   (normalized ? "_normalized" : "");
          // In three dimensions an H100's sum of eight texels is off by up to a 256th of their range of 256.
          if (dimensions == 3 && filter == cudaFilterModeLinear)
            corpus::approximate(name.c_str(), out.values(), {wanted.begin(), wanted.end()}, 0, 1.0);
          else
            corpus::exact_numbers(name.c_str(), out.values(), wanted);
        }
        for (const auto texture : {one, two, three}) CHECK(cudaDestroyTextureObject(texture));
      }
    }
  }
}

template <class T>
void formats(const char* name, std::function<T(int)> texel) {
  const Image<T> image(16, 8, 0, 0, texel);
  const Points points(1, 1);
  const Buffer<float> x(points.x), y(points.y);
  const Buffer<T> out(kCount);
  Sampling sampling;
  const auto texture = texture_of(array_resource(image.array), sampling);
  read_2d<T><<<2, 128>>>(out.get(), texture, x.get(), y.get());
  std::vector<T> wanted;
  for (int i = 0; i < kCount; ++i)
    wanted.push_back(image.at(addressed(static_cast<int>(std::floor(points.x[i])), 16, cudaAddressModeClamp),
                              addressed(static_cast<int>(std::floor(points.y[i])), 8, cudaAddressModeClamp), 0));
  corpus::exact(name, out.values(), wanted);
  CHECK(cudaDestroyTextureObject(texture));
}

/// Integers read as fractions of the largest one.
template <class T>
void fractions(const char* name, float largest) {
  const Image<T> image(16, 8, 0, 0, [](int i) { return static_cast<T>(i * 40503 / 3); });
  for (const auto filter : {cudaFilterModePoint, cudaFilterModeLinear}) {
    Sampling sampling;
    sampling.read = cudaReadModeNormalizedFloat, sampling.filter = filter;
    const Points points(1, 1);
    const Buffer<float> x(points.x), y(points.y), out(kCount);
    const auto texture = texture_of(array_resource(image.array), sampling);
    read_2d<float><<<2, 128>>>(out.get(), texture, x.get(), y.get());
    std::vector<long double> wanted;
    for (int i = 0; i < kCount; ++i)
      wanted.push_back(
          sampled([&](int a, int b, int c) { return std::max(-1.0, image.at(a, b, c) / static_cast<double>(largest)); },
                  {16, 8, 1}, 2, {points.x[i], points.y[i], 0}, sampling));
    // A filter may round each product; a read gives the nearest float.
    const bool linear = filter == cudaFilterModeLinear;
    corpus::approximate((std::string(name) + (linear ? "_linear" : "_point")).c_str(), out.values(), wanted, 1,
                        linear ? 1.0 / 256 : 1e-7);
    CHECK(cudaDestroyTextureObject(texture));
  }
}

/// Weights that the filter's fraction doesn't hold: eight bits of it are what is documented.
void odd_weights() {
  const Image<float> image(16, 8, 0, 0, [](int i) { return static_cast<float>(i * 13 % 64); });
  Sampling sampling;
  sampling.filter = cudaFilterModeLinear;
  const Points points(1, 1, 1, 0.137f);
  const Buffer<float> x(points.x), y(points.y), out(kCount);
  const auto texture = texture_of(array_resource(image.array), sampling);
  read_2d<float><<<2, 128>>>(out.get(), texture, x.get(), y.get());
  std::vector<long double> wanted;
  for (int i = 0; i < kCount; ++i)
    wanted.push_back(sampled([&](int a, int b, int c) { return image.at(a, b, c); }, {16, 8, 1}, 2,
                             {points.x[i], points.y[i], 0}, sampling));
  corpus::approximate("linear_any_weight", out.values(), wanted, 1, 64 * 2.0 / 256);
  CHECK(cudaDestroyTextureObject(texture));
}

void linear_memory() {
  std::vector<int> ints(200);
  std::vector<float4> vectors(200);
  for (int i = 0; i < 200; ++i) {
    ints[i] = i * 31 - 7;
    vectors[i] = make_float4(static_cast<float>(i), static_cast<float>(-i), i * 0.5f, 1);
  }
  const Buffer<int> words(ints);
  const Buffer<float4> wide(vectors);
  cudaResourceDesc resource = {};
  resource.resType = cudaResourceTypeLinear;
  resource.res.linear.devPtr = words.get();
  resource.res.linear.desc = cudaCreateChannelDesc<int>();
  resource.res.linear.sizeInBytes = 200 * sizeof(int);
  const auto texture = texture_of(resource, {});
  resource.res.linear.devPtr = wide.get();
  resource.res.linear.desc = cudaCreateChannelDesc<float4>();
  resource.res.linear.sizeInBytes = 200 * sizeof(float4);
  const auto texture_wide = texture_of(resource, {});
  const Buffer<int> out(kCount);
  const Buffer<float4> out_wide(kCount);
  fetch_1d<int><<<2, 128>>>(out.get(), texture, -20);  // what lies outside reads as zero
  fetch_1d<float4><<<2, 128>>>(out_wide.get(), texture_wide, -20);
  std::vector<int> wanted(kCount);
  std::vector<float4> wanted_wide(kCount, make_float4(0, 0, 0, 0));
  for (int i = 0; i < kCount; ++i)
    if (i >= 20 && i < 220) wanted[i] = ints[i - 20], wanted_wide[i] = vectors[i - 20];
  corpus::exact("linear_int", out.values(), wanted);
  corpus::exact("linear_float4", out_wide.values(), wanted_wide);

  float* rows = nullptr;
  std::size_t pitch = 0;
  CHECK(cudaMallocPitch(&rows, &pitch, 20 * sizeof(float), 10));
  std::vector<float> plane(200);
  for (int i = 0; i < 200; ++i) plane[i] = static_cast<float>(i * 11 % 64);
  CHECK(cudaMemcpy2D(rows, pitch, plane.data(), 20 * sizeof(float), 20 * sizeof(float), 10, cudaMemcpyHostToDevice));
  cudaResourceDesc pitched = {};
  pitched.resType = cudaResourceTypePitch2D;
  pitched.res.pitch2D = {rows, cudaCreateChannelDesc<float>(), 20, 10, pitch};
  for (const auto filter : {cudaFilterModePoint, cudaFilterModeLinear}) {
    Sampling sampling;
    sampling.filter = filter, sampling.address = cudaAddressModeBorder;
    const Points points(1, 1);
    const Buffer<float> x(points.x), y(points.y), got(kCount);
    const auto two = texture_of(pitched, sampling);
    read_2d<float><<<2, 128>>>(got.get(), two, x.get(), y.get());
    std::vector<float> floats;
    for (int i = 0; i < kCount; ++i)
      floats.push_back(static_cast<float>(sampled([&](int a, int b, int) { return plane[b * 20 + a]; }, {20, 10, 1}, 2,
                                                  {points.x[i], points.y[i], 0}, sampling)));
    corpus::exact_numbers(filter == cudaFilterModePoint ? "pitched_point" : "pitched_linear", got.values(), floats);
    CHECK(cudaDestroyTextureObject(two));
  }
  CHECK(cudaFree(rows));
  CHECK(cudaDestroyTextureObject(texture));
  CHECK(cudaDestroyTextureObject(texture_wide));
}

void layers_and_cubes() {
  const Image<float> lines(16, 0, 3, cudaArrayLayered, [](int i) { return static_cast<float>(i * 5 % 64); });
  const Image<float> planes(16, 8, 3, cudaArrayLayered, [](int i) { return static_cast<float>(i * 3 % 128); });
  Sampling sampling;
  sampling.filter = cudaFilterModeLinear;
  const Points points(1, 1);
  const Buffer<float> x(points.x), y(points.y), out(kCount * 2);
  const auto one = texture_of(array_resource(lines.array), sampling);
  const auto two = texture_of(array_resource(planes.array), sampling);
  read_layers<<<2, 128>>>(out.get(), one, two, x.get(), y.get());
  std::vector<float> wanted;
  for (int i = 0; i < kCount; ++i) {
    wanted.push_back(static_cast<float>(
        sampled([&](int a, int, int) { return lines.at(a, 0, i % 3); }, {16, 1, 1}, 1, {points.x[i], 0, 0}, sampling)));
    wanted.push_back(static_cast<float>(sampled([&](int a, int b, int) { return planes.at(a, b, i % 3); }, {16, 8, 1},
                                                2, {points.x[i], points.y[i], 0}, sampling)));
  }
  corpus::exact_numbers("layers", out.values(), wanted);
  CHECK(cudaDestroyTextureObject(one));
  CHECK(cudaDestroyTextureObject(two));

  const Image<float> cube(8, 8, 6, cudaArrayCubemap, [](int i) { return static_cast<float>(i); });
  const Image<float> cubes(8, 8, 12, cudaArrayCubemap | cudaArrayLayered,
                           [](int i) { return static_cast<float>(i * 3); });
  Sampling point;
  point.normalized = true;
  const auto single = texture_of(array_resource(cube.array), point);
  const auto layered = texture_of(array_resource(cubes.array), point);
  // The middle of each texel of each face: face, column and row give a direction by the table of the guide.
  std::vector<float> cx, cy, cz, faces;
  for (int i = 0; i < 6 * 64; ++i) {
    const int face = i / 64, column = i % 8, row = i / 8 % 8;
    const float s = (static_cast<float>(column) + 0.5f) / 4 - 1, t = (static_cast<float>(row) + 0.5f) / 4 - 1;
    const float directions[6][3] = {{1, -t, -s}, {-1, -t, s}, {s, 1, t}, {s, -1, -t}, {s, -t, 1}, {-s, -t, -1}};
    const float length = i % 5 < 2 ? 1.0f : 2.0f;
    cx.push_back(directions[face][0] * length), cy.push_back(directions[face][1] * length);
    cz.push_back(directions[face][2] * length);
    faces.push_back(cube.at(column, row, face));
    faces.push_back(cubes.at(column, row, face + 6 * (i & 1)));
  }
  const Buffer<float> dx(cx), dy(cy), dz(cz), got(faces.size());
  read_cube<<<3, 128>>>(got.get(), single, layered, dx.get(), dy.get(), dz.get());
  corpus::exact("cubes", got.values(), faces);
  CHECK(cudaDestroyTextureObject(single));
  CHECK(cudaDestroyTextureObject(layered));
}

void gathers() {
  const Image<float4> image(16, 8, 0, cudaArrayTextureGather, [](int i) {
    return make_float4(static_cast<float>(i), static_cast<float>(i + 1000), static_cast<float>(-i), i * 0.5f);
  });
  const Points points(1, 1);
  const Buffer<float> x(points.x), y(points.y);
  const Buffer<float4> out(kCount);
  const auto texture = texture_of(array_resource(image.array), {});
  gather<<<2, 128>>>(out.get(), texture, x.get(), y.get());
  std::vector<float4> wanted;
  for (int i = 0; i < kCount; ++i) {
    const int column = static_cast<int>(std::floor(points.x[i] - 0.5f));
    const int row = static_cast<int>(std::floor(points.y[i] - 0.5f));
    const auto part = [&](int a, int b) {
      const float4 texel =
          image.at(addressed(column + a, 16, cudaAddressModeClamp), addressed(row + b, 8, cudaAddressModeClamp), 0);
      return (i & 3) == 0 ? texel.x : (i & 3) == 1 ? texel.y : (i & 3) == 2 ? texel.z : texel.w;
    };
    wanted.push_back(make_float4(part(0, 1), part(1, 1), part(1, 0), part(0, 0)));
  }
  corpus::exact("gather", out.values(), wanted);
  CHECK(cudaDestroyTextureObject(texture));
}

void levels() {
  cudaMipmappedArray_t mipmapped = nullptr;
  const auto format = cudaCreateChannelDesc<float>();
  CHECK(cudaMallocMipmappedArray(&mipmapped, &format, make_cudaExtent(32, 32, 0), 5));
  std::vector<std::vector<float>> texels(5);
  for (unsigned level = 0; level < 5; ++level) {
    const int size = 32 >> level;
    for (int i = 0; i < size * size; ++i)
      texels[level].push_back(static_cast<float>(i * 17 % 64 + static_cast<int>(level) * 256));
    cudaArray_t array = nullptr;
    CHECK(cudaGetMipmappedArrayLevel(&array, mipmapped, level));
    Image<float>::fill(array, texels[level], size, size, 0);
  }
  cudaResourceDesc resource = {};
  resource.resType = cudaResourceTypeMipmappedArray;
  resource.res.mipmap.mipmap = mipmapped;
  Points points(1.0f / 32, 1.0f / 32);
  const Buffer<float> x(points.x), y(points.y), out(kCount);
  for (const auto mip : {cudaFilterModePoint, cudaFilterModeLinear}) {
    Sampling sampling;
    sampling.normalized = true, sampling.mip_filter = mip, sampling.max_level = 3,
    sampling.address = cudaAddressModeWrap;
    const auto texture = texture_of(resource, sampling);
    const auto at_level = [&](int i, int level) {
      const int size = 32 >> level;
      return sampled([&](int a, int b, int) { return texels[level][b * size + a]; }, {size, size, 1}, 2,
                     {points.x[i], points.y[i], 0}, sampling);
    };
    // Quarters of a level between two; thirds would be rounded, and halves are a tie of the nearest level.
    const float step = mip == cudaFilterModePoint ? 0.75f : 0.5f;
    std::vector<float> wanted;
    for (int i = 0; i < kCount; ++i) {
      const float level = std::min(static_cast<float>(i % 9) * step, 3.0f);
      if (mip == cudaFilterModePoint) {
        wanted.push_back(i % 9 == 2 ? 0 : static_cast<float>(at_level(i, static_cast<int>(std::floor(level + 0.5f)))));
      } else {
        const int low = static_cast<int>(level);
        wanted.push_back(static_cast<float>((1 - (level - low)) * at_level(i, low) +
                                            (level > low ? (level - low) * at_level(i, low + 1) : 0)));
      }
    }
    read_levels<<<2, 128>>>(out.get(), texture, x.get(), y.get(), step);
    auto got = out.values();
    if (mip == cudaFilterModePoint)
      for (int i = 2; i < kCount; i += 9) got[i] = 0;  // level 1.5, a tie
    corpus::exact_numbers(mip == cudaFilterModePoint ? "levels_point" : "levels_linear", got, wanted);
    read_gradients<<<2, 128>>>(out.get(), texture, x.get(), y.get(), 1.0f / 32);
    wanted.clear();
    for (int i = 0; i < kCount; ++i) wanted.push_back(static_cast<float>(at_level(i, i & 3)));
    corpus::exact_numbers(mip == cudaFilterModePoint ? "gradients_point" : "gradients_linear", out.values(), wanted);
    CHECK(cudaDestroyTextureObject(texture));
  }
  CHECK(cudaFreeMipmappedArray(mipmapped));
}

}  // namespace

int main() {
  modes();
  formats<unsigned char>("format_uchar", [](int i) { return static_cast<unsigned char>(i * 7); });
  formats<short>("format_short", [](int i) { return static_cast<short>(i * 977); });
  formats<int2>("format_int2", [](int i) { return make_int2(i * 40503, -i); });
  formats<uint4>("format_uint4", [](int i) { return make_uint4(i, i + 1u, ~0u - i, 7); });
  formats<uchar4>("format_uchar4", [](int i) {
    return make_uchar4(static_cast<unsigned char>(i), 2, static_cast<unsigned char>(i * 3), 255);
  });
  formats<float2>("format_float2", [](int i) { return make_float2(i * 0.1f, -i / 3.0f); });
  fractions<unsigned char>("fraction_uchar", 255);
  fractions<signed char>("fraction_char", 127);
  fractions<unsigned short>("fraction_ushort", 65535);
  fractions<short>("fraction_short", 32767);
  odd_weights();
  linear_memory();
  layers_and_cubes();
  gathers();
  levels();
  std::printf("textures: ok\n");
}
