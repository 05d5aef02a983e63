// link: -lcublasLt
// about: cuBLASLt with heuristics: fp32, bf16 with bias and GELU, int8
#include <cublasLt.h>
#include <cuda_bf16.h>

#include "results.h"

struct Kind {
  const char* name;
  cudaDataType_t in, out;
  cublasComputeType_t compute;
  cudaDataType_t scale;
  cublasLtEpilogue_t epilogue;
};

template <typename In, typename Out, typename Scale>
std::vector<Out> multiply(cublasLtHandle_t handle, const Kind& kind, const std::vector<In>& a, const std::vector<In>& b,
                          int m, int n, int k, const std::vector<Out>& bias) {
  OnDevice<In> da(a), db(b);
  OnDevice<Out> dc(static_cast<std::size_t>(m) * n), dbias(bias);
  const std::size_t size = 32 << 20;
  OnDevice<char> workspace(size);
  cublasLtMatmulDesc_t description;
  CHECK(cublasLtMatmulDescCreate(&description, kind.compute, kind.scale));
  const cublasOperation_t transposed = CUBLAS_OP_T;
  CHECK(cublasLtMatmulDescSetAttribute(description, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed));
  CHECK(
      cublasLtMatmulDescSetAttribute(description, CUBLASLT_MATMUL_DESC_EPILOGUE, &kind.epilogue, sizeof kind.epilogue));
  if (kind.epilogue != CUBLASLT_EPILOGUE_DEFAULT) {
    const void* pointer = dbias.data();
    CHECK(cublasLtMatmulDescSetAttribute(description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &pointer, sizeof pointer));
  }
  cublasLtMatrixLayout_t la, lb, lc;
  CHECK(cublasLtMatrixLayoutCreate(&la, kind.in, k, m, k));
  CHECK(cublasLtMatrixLayoutCreate(&lb, kind.in, k, n, k));
  CHECK(cublasLtMatrixLayoutCreate(&lc, kind.out, m, n, m));
  cublasLtMatmulPreference_t preference;
  CHECK(cublasLtMatmulPreferenceCreate(&preference));
  CHECK(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &size, sizeof size));
  cublasLtMatmulHeuristicResult_t found[4];
  int count = 0;
  CHECK(cublasLtMatmulAlgoGetHeuristic(handle, description, la, lb, lc, lc, preference, 4, found, &count));
  if (count == 0) {
    std::printf("FAILED: %s: no algorithm\n", kind.name);
    std::exit(1);
  }
  const Scale one = 1, zero = 0;
  CHECK(cublasLtMatmul(handle, description, &one, da.data(), la, db.data(), lb, &zero, dc.data(), lc, dc.data(), lc,
                       &found[0].algo, workspace.data(), size, nullptr));
  std::vector<Out> result = dc.host();
  CHECK(cublasLtMatmulPreferenceDestroy(preference));
  CHECK(cublasLtMatrixLayoutDestroy(la));
  CHECK(cublasLtMatrixLayoutDestroy(lb));
  CHECK(cublasLtMatrixLayoutDestroy(lc));
  CHECK(cublasLtMatmulDescDestroy(description));
  return result;
}

/// A is k x m here, so that its transpose is used: C[i, j] = sum over l of A[l, i] B[l, j].
template <typename T>
std::vector<double> reference(const std::vector<T>& a, const std::vector<T>& b, int m, int n, int k) {
  std::vector<double> c(static_cast<std::size_t>(m) * n);
  for (int j = 0; j < n; ++j)
    for (int i = 0; i < m; ++i)
      for (int l = 0; l < k; ++l)
        c[static_cast<std::size_t>(j) * m + i] +=
            static_cast<double>(static_cast<float>(a[static_cast<std::size_t>(i) * k + l])) *
            static_cast<float>(b[static_cast<std::size_t>(j) * k + l]);
  return c;
}

int main() {
  cublasLtHandle_t handle;
  CHECK(cublasLtCreate(&handle));
  const int m = 128, n = 96, k = 256;
  const auto a = numbers(m * k, 7), b = numbers(n * k, 8), bias = numbers(m, 9);

  const Kind single{"fp32", CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F, CUDA_R_32F, CUBLASLT_EPILOGUE_DEFAULT};
  const auto c = multiply<float, float, float>(handle, single, a, b, m, n, k, bias);
  check("fp32", c, reference(a, b, m, n, k), 1e-5);
  give("fp32", c);

  std::vector<__nv_bfloat16> a16, b16, bias16;
  for (float value : a) a16.push_back(__float2bfloat16(value));
  for (float value : b) b16.push_back(__float2bfloat16(value));
  for (float value : bias) bias16.push_back(__float2bfloat16(value));
  for (const auto epilogue : {CUBLASLT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_GELU_BIAS}) {
    const Kind half{"bf16", CUDA_R_16BF, CUDA_R_16BF, CUBLAS_COMPUTE_32F, CUDA_R_32F, epilogue};
    const auto got16 = multiply<__nv_bfloat16, __nv_bfloat16, float>(handle, half, a16, b16, m, n, k, bias16);
    std::vector<float> got;
    for (const __nv_bfloat16 value : got16) got.push_back(__bfloat162float(value));
    auto wanted = reference(a16, b16, m, n, k);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      wanted[i] += __bfloat162float(bias16[i % m]);
      if (epilogue == CUBLASLT_EPILOGUE_GELU_BIAS) wanted[i] *= 0.5 * (1 + std::erf(wanted[i] / std::sqrt(2.0)));
    }
    const bool gelu = epilogue == CUBLASLT_EPILOGUE_GELU_BIAS;
    check(gelu ? "bf16-gelu" : "bf16-bias", got, wanted, 1e-2);
    give(gelu ? "bf16-gelu" : "bf16-bias", got);
  }

  std::vector<std::int8_t> a8, b8;
  for (float value : a) a8.push_back(static_cast<std::int8_t>(value * 100));
  for (float value : b) b8.push_back(static_cast<std::int8_t>(value * 100));
  const Kind bytes{"int8", CUDA_R_8I, CUDA_R_32I, CUBLAS_COMPUTE_32I, CUDA_R_32I, CUBLASLT_EPILOGUE_DEFAULT};
  const auto c8 =
      multiply<std::int8_t, std::int32_t, std::int32_t>(handle, bytes, a8, b8, m, n, k, std::vector<std::int32_t>(m));
  check("int8", c8, reference(a8, b8, m, n, k), 0);
  give("int8", c8);
  CHECK(cublasLtDestroy(handle));
}
