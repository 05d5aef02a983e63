// link: -lcublas
// about: cuBLAS of levels 1 to 3, batched and strided, half and complex, results on host and device, within a stream
// and a graph
#include <cublas_v2.h>
#include <cuda_fp16.h>

#include "results.h"

int main() {
  cublasHandle_t handle;
  CHECK(cublasCreate(&handle));
  const int n = 200;
  const auto x = numbers<double>(n, 1), y = numbers<double>(n, 2), a = numbers<double>(n * n, 3),
             b = numbers<double>(n * n, 4);
  OnDevice<double> dx(x), dy(y), da(a), db(b), dc(n * n), scalar(1);

  double dot = 0, norm = 0, wanted = 0;
  CHECK(cublasDdot(handle, n, dx.data(), 1, dy.data(), 1, &dot));
  CHECK(cublasDnrm2(handle, n, dx.data(), 1, &norm));
  int index = 0;
  CHECK(cublasIdamax(handle, n, dx.data(), 1, &index));
  for (int i = 0; i < n; ++i) wanted += x[i] * y[i];
  check("dot", std::vector<double>{dot}, std::vector<double>{wanted}, 1e-12);
  CHECK(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_DEVICE));
  CHECK(cublasDasum(handle, n, dx.data(), 1, scalar.data()));
  CHECK(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_HOST));
  give("level1", std::vector<double>{dot, norm, static_cast<double>(index), scalar.host()[0]}, 1e-14);

  const double one = 1, zero = 0, two = 2;
  CHECK(cublasDaxpy(handle, n, &two, dx.data(), 1, dy.data(), 1));
  CHECK(cublasDgemv(handle, CUBLAS_OP_T, n, n, &one, da.data(), n, dx.data(), 1, &two, dy.data(), 1));
  give("level2", dy.host(), 1e-14);
  CHECK(cublasDgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, n, n, n, &one, da.data(), n, db.data(), n, &zero, dc.data(), n));
  check("gemm", dc.host(), product(a, b, n, n, n), 1e-12);
  give("gemm", dc.host());
  CHECK(cublasDsyrk(handle, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N, n, n, &one, da.data(), n, &zero, dc.data(), n));
  give("syrk", dc.host(), 1e-14);
  CHECK(cublasDtrsm(handle, CUBLAS_SIDE_LEFT, CUBLAS_FILL_MODE_UPPER, CUBLAS_OP_N, CUBLAS_DIAG_UNIT, 20, 20, &one,
                    da.data(), n, db.data(), n));
  give("trsm", db.host(), 1e-12);
  CHECK(cublasDgeam(handle, CUBLAS_OP_T, CUBLAS_OP_N, n, n, &one, da.data(), n, &two, da.data(), n, dc.data(), n));
  give("geam", dc.host());

  std::vector<__half> h(64 * 64 * 8);
  const auto source = numbers(h.size(), 5);
  for (std::size_t i = 0; i < h.size(); ++i) h[i] = __float2half(source[i]);
  OnDevice<__half> dh(h);
  OnDevice<float> df(h.size());
  const float fone = 1, fzero = 0;
  CHECK(cublasGemmStridedBatchedEx(handle, CUBLAS_OP_N, CUBLAS_OP_T, 64, 64, 64, &fone, dh.data(), CUDA_R_16F, 64, 4096,
                                   dh.data(), CUDA_R_16F, 64, 4096, &fzero, df.data(), CUDA_R_32F, 64, 4096, 8,
                                   CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
  give("half-strided", df.host(), 1e-5);
  std::vector<const double*> pointers;
  std::vector<double*> outputs;
  for (int i = 0; i < 10; ++i) {
    pointers.push_back(da.data() + 100 * i);
    outputs.push_back(dc.data() + 400 * i);
  }
  OnDevice<const double*> dp(pointers);
  OnDevice<double*> dq(outputs);
  CHECK(cublasDgemmBatched(handle, CUBLAS_OP_N, CUBLAS_OP_N, 20, 20, 20, &one, dp.data(), n, dp.data(), n, &zero,
                           dq.data(), 20, 10));
  give("batched", dc.host(), 1e-14);

  OnDevice<cuDoubleComplex> complex(100);
  CHECK(cudaMemcpy(complex.data(), a.data(), 1600, cudaMemcpyHostToDevice));
  cuDoubleComplex factor{0.5, -2}, none{0, 0};
  OnDevice<cuDoubleComplex> complex_out(100);
  CHECK(cublasZgemm(handle, CUBLAS_OP_C, CUBLAS_OP_N, 10, 10, 10, &factor, complex.data(), 10, complex.data(), 10,
                    &none, complex_out.data(), 10));
  CHECK(cudaDeviceSynchronize());
  std::vector<double> parts(200);
  CHECK(cudaMemcpy(parts.data(), complex_out.data(), 1600, cudaMemcpyDeviceToHost));
  give("complex", parts, 1e-14);

  cudaStream_t stream;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  OnDevice<char> workspace(32 << 20);
  CHECK(cublasSetStream(handle, stream));
  CHECK(cublasSetWorkspace(handle, workspace.data(), 32 << 20));
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  CHECK(cublasDgemm(handle, CUBLAS_OP_N, CUBLAS_OP_T, n, n, n, &one, da.data(), n, da.data(), n, &zero, dc.data(), n));
  CHECK(cudaStreamEndCapture(stream, &graph));
  CHECK(cudaGraphInstantiate(&executable, graph, 0));
  for (int i = 0; i < 3; ++i) CHECK(cudaGraphLaunch(executable, stream));
  CHECK(cudaStreamSynchronize(stream));
  give("graph", dc.host(), 1e-14);
  CHECK(cudaGraphExecDestroy(executable));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cublasDestroy(handle));
  CHECK(cudaStreamDestroy(stream));
}
