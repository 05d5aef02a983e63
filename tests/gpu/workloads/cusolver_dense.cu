// link: -lcusolver -lcublas
// about: cuSOLVER dense: LU, Cholesky, QR, SVD, symmetric eigenvalues, batched Jacobi
#include <cusolverDn.h>

#include "results.h"

int main() {
  const int n = 150;
  cusolverDnHandle_t handle;
  CHECK(cusolverDnCreate(&handle));
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  CHECK(cusolverDnSetStream(handle, stream));
  auto a = numbers<double>(n * n, 11);
  for (int i = 0; i < n; ++i) a[i * n + i] += n;
  auto symmetric = a;
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) symmetric[i * n + j] = a[i * n + j] + a[j * n + i];
  const auto b = numbers<double>(n, 12);
  OnDevice<int> info(1), pivots(n);
  int size = 0;

  {
    OnDevice<double> factors(a), x(b);
    CHECK(cusolverDnDgetrf_bufferSize(handle, n, n, factors.data(), n, &size));
    OnDevice<double> work(size);
    CHECK(cusolverDnDgetrf(handle, n, n, factors.data(), n, work.data(), pivots.data(), info.data()));
    CHECK(cusolverDnDgetrs(handle, CUBLAS_OP_N, n, 1, factors.data(), n, pivots.data(), x.data(), n, info.data()));
    const auto solution = x.host();
    check("lu", product(a, solution, n, 1, n), b, 1e-11);
    give("lu", solution, 1e-12);
  }
  {
    OnDevice<double> factors(symmetric);
    CHECK(cusolverDnDpotrf_bufferSize(handle, CUBLAS_FILL_MODE_LOWER, n, factors.data(), n, &size));
    OnDevice<double> work(size);
    CHECK(cusolverDnDpotrf(handle, CUBLAS_FILL_MODE_LOWER, n, factors.data(), n, work.data(), size, info.data()));
    check("potrf-info", info.host(), std::vector<int>{0}, 0);
    give("potrf", factors.host(), 1e-12);
  }
  {
    OnDevice<double> factors(a), tau(n);
    CHECK(cusolverDnDgeqrf_bufferSize(handle, n, n, factors.data(), n, &size));
    OnDevice<double> work(size);
    CHECK(cusolverDnDgeqrf(handle, n, n, factors.data(), n, tau.data(), work.data(), size, info.data()));
    give("geqrf", factors.host(), 1e-12);
  }
  {
    OnDevice<double> matrix(a), values(n), u(n * n), v(n * n), rest(n);
    CHECK(cusolverDnDgesvd_bufferSize(handle, n, n, &size));
    OnDevice<double> work(size);
    CHECK(cusolverDnDgesvd(handle, 'A', 'A', n, n, matrix.data(), n, values.data(), u.data(), n, v.data(), n,
                           work.data(), size, rest.data(), info.data()));
    const auto left = u.host(), right = v.host(), singular = values.host();
    auto scaled = left;
    for (int column = 0; column < n; ++column)
      for (int row = 0; row < n; ++row) scaled[column * n + row] *= singular[column];
    check("gesvd", product(scaled, right, n, n, n), a, 1e-11);
    give("gesvd", singular, 1e-12);
  }
  {
    OnDevice<double> matrix(symmetric), values(n);
    CHECK(cusolverDnDsyevd_bufferSize(handle, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_UPPER, n, matrix.data(), n,
                                      values.data(), &size));
    OnDevice<double> work(size);
    CHECK(cusolverDnDsyevd(handle, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_UPPER, n, matrix.data(), n, values.data(),
                           work.data(), size, info.data()));
    const auto eigenvalues = values.host();
    double trace = 0, sum = 0;
    for (int i = 0; i < n; ++i) {
      trace += symmetric[i * n + i];
      sum += eigenvalues[i];
    }
    check("syevd", std::vector<double>{sum}, std::vector<double>{trace}, 1e-11);
    give("syevd", eigenvalues, 1e-12);
  }
  {
    const int small = 16, batch = 20;
    std::vector<double> matrices;
    for (int i = 0; i < batch; ++i)
      for (int row = 0; row < small; ++row)
        for (int column = 0; column < small; ++column) matrices.push_back(symmetric[(row + i) * n + column + i]);
    OnDevice<double> matrix(matrices), values(small * batch);
    OnDevice<int> infos(batch);
    syevjInfo_t parameters;
    CHECK(cusolverDnCreateSyevjInfo(&parameters));
    CHECK(cusolverDnDsyevjBatched_bufferSize(handle, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER, small,
                                             matrix.data(), small, values.data(), &size, parameters, batch));
    OnDevice<double> work(size);
    CHECK(cusolverDnDsyevjBatched(handle, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER, small, matrix.data(), small,
                                  values.data(), work.data(), size, infos.data(), parameters, batch));
    give("syevj", values.host(), 1e-10);
    CHECK(cusolverDnDestroySyevjInfo(parameters));
  }
  CHECK(cusolverDnDestroy(handle));
  CHECK(cudaStreamDestroy(stream));
}
