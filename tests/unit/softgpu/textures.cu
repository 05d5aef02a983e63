// Kernels of texture_test.cpp: one fetch or one surface access a thread.

extern "C" __global__ void linear(cudaTextureObject_t texture, const int* at, float* out) {
  out[threadIdx.x] = tex1Dfetch<float>(texture, at[threadIdx.x]);
}

extern "C" __global__ void plane(cudaTextureObject_t texture, const float2* at, float4* out) {
  const float2 p = at[threadIdx.x];
  out[threadIdx.x] = tex2D<float4>(texture, p.x, p.y);
}

extern "C" __global__ void plane_integers(cudaTextureObject_t texture, const float2* at, int* out) {
  const float2 p = at[threadIdx.x];
  out[threadIdx.x] = tex2D<int>(texture, p.x, p.y);
}

extern "C" __global__ void volume(cudaTextureObject_t texture, const float4* at, float* out) {
  const float4 p = at[threadIdx.x];
  out[threadIdx.x] = tex3D<float>(texture, p.x, p.y, p.z);
}

extern "C" __global__ void layers(cudaTextureObject_t texture, const float4* at, float* out) {
  const float4 p = at[threadIdx.x];
  out[threadIdx.x] = tex2DLayered<float>(texture, p.x, p.y, static_cast<int>(p.z));
}

extern "C" __global__ void cube(cudaTextureObject_t texture, const float4* at, float* out) {
  const float4 p = at[threadIdx.x];
  out[threadIdx.x] = texCubemap<float>(texture, p.x, p.y, p.z);
}

extern "C" __global__ void level(cudaTextureObject_t texture, const float4* at, float* out) {
  const float4 p = at[threadIdx.x];
  out[threadIdx.x] = tex2DLod<float>(texture, p.x, p.y, p.z);
}

extern "C" __global__ void gather(cudaTextureObject_t texture, const float2* at, float4* out) {
  const float2 p = at[threadIdx.x];
  out[threadIdx.x] = tex2Dgather<float4>(texture, p.x, p.y, 0);
}

extern "C" __global__ void add_one(cudaSurfaceObject_t surface) {
  const int x = static_cast<int>(threadIdx.x);
  const int y = static_cast<int>(blockIdx.x);
  const int value = surf2Dread<int>(surface, x * 4, y);
  surf2Dwrite(value + 1, surface, x * 4, y);
}

extern "C" __global__ void read_outside(cudaSurfaceObject_t surface, int* out) {
  const int x = static_cast<int>(threadIdx.x) - 1;
  out[2 * threadIdx.x] = surf2Dread<int>(surface, x * 4, 0, cudaBoundaryModeZero);
  out[2 * threadIdx.x + 1] = surf2Dread<int>(surface, x * 4, 0, cudaBoundaryModeClamp);
}

extern "C" __global__ void write_outside(cudaSurfaceObject_t surface) { surf2Dwrite(1, surface, 4096, 0); }

extern "C" __global__ void query(cudaTextureObject_t texture, cudaSurfaceObject_t surface, unsigned* out) {
  asm volatile("txq.width.b32 %0, [%1];" : "=r"(out[0]) : "l"(texture));
  asm volatile("txq.height.b32 %0, [%1];" : "=r"(out[1]) : "l"(texture));
  asm volatile("suq.width.b32 %0, [%1];" : "=r"(out[2]) : "l"(surface));
  asm volatile("suq.height.b32 %0, [%1];" : "=r"(out[3]) : "l"(surface));
}
