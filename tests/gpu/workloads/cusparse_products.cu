// link: -lcusparse
// about: cuSPARSE generic API: matrix with vector, with matrix, with sparse matrix, triangular solve, conversion
#include <cusparse.h>

#include "results.h"

int main() {
  const int rows = 400, columns = 400, width = 16;
  std::vector<int> offsets{0}, indices;
  std::vector<double> values, dense(rows * columns);
  const auto random = numbers<double>(rows * columns, 13);
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j)
      if (i == j || (i * 31 + j * 17) % 29 == 0) {
        const double value = random[i * columns + j] + (i == j ? 20 : 0);
        indices.push_back(j);
        values.push_back(value);
        dense[j * rows + i] = value;
      }
    offsets.push_back(static_cast<int>(indices.size()));
  }
  const auto x = numbers<double>(columns, 14), b = numbers<double>(columns * width, 15);
  cusparseHandle_t handle;
  CHECK(cusparseCreate(&handle));
  OnDevice<int> doffsets(offsets), dindices(indices);
  OnDevice<double> dvalues(values), dx(x), dy(rows), db(b), dc(rows * width);
  cusparseSpMatDescr_t matrix;
  CHECK(cusparseCreateCsr(&matrix, rows, columns, values.size(), doffsets.data(), dindices.data(), dvalues.data(),
                          CUSPARSE_INDEX_32I, CUSPARSE_INDEX_32I, CUSPARSE_INDEX_BASE_ZERO, CUDA_R_64F));
  const double one = 1, zero = 0;
  std::size_t size = 0;

  cusparseDnVecDescr_t vx, vy;
  CHECK(cusparseCreateDnVec(&vx, columns, dx.data(), CUDA_R_64F));
  CHECK(cusparseCreateDnVec(&vy, rows, dy.data(), CUDA_R_64F));
  CHECK(cusparseSpMV_bufferSize(handle, CUSPARSE_OPERATION_NON_TRANSPOSE, &one, matrix, vx, &zero, vy, CUDA_R_64F,
                                CUSPARSE_SPMV_ALG_DEFAULT, &size));
  {
    OnDevice<char> work(size + 1);
    CHECK(cusparseSpMV(handle, CUSPARSE_OPERATION_NON_TRANSPOSE, &one, matrix, vx, &zero, vy, CUDA_R_64F,
                       CUSPARSE_SPMV_ALG_DEFAULT, work.data()));
    check("vector", dy.host(), product(dense, x, rows, 1, columns), 1e-12);
    give("vector", dy.host(), 1e-13);
  }

  cusparseDnMatDescr_t mb, mc;
  CHECK(cusparseCreateDnMat(&mb, columns, width, columns, db.data(), CUDA_R_64F, CUSPARSE_ORDER_COL));
  CHECK(cusparseCreateDnMat(&mc, rows, width, rows, dc.data(), CUDA_R_64F, CUSPARSE_ORDER_COL));
  CHECK(cusparseSpMM_bufferSize(handle, CUSPARSE_OPERATION_NON_TRANSPOSE, CUSPARSE_OPERATION_NON_TRANSPOSE, &one,
                                matrix, mb, &zero, mc, CUDA_R_64F, CUSPARSE_SPMM_ALG_DEFAULT, &size));
  {
    OnDevice<char> work(size + 1);
    CHECK(cusparseSpMM(handle, CUSPARSE_OPERATION_NON_TRANSPOSE, CUSPARSE_OPERATION_NON_TRANSPOSE, &one, matrix, mb,
                       &zero, mc, CUDA_R_64F, CUSPARSE_SPMM_ALG_DEFAULT, work.data()));
    check("matrix", dc.host(), product(dense, b, rows, width, columns), 1e-12);
    give("matrix", dc.host(), 1e-13);
  }

  cusparseDnMatDescr_t full;
  OnDevice<double> dfull(rows * columns);
  CHECK(cusparseCreateDnMat(&full, rows, columns, rows, dfull.data(), CUDA_R_64F, CUSPARSE_ORDER_COL));
  CHECK(cusparseSparseToDense_bufferSize(handle, matrix, full, CUSPARSE_SPARSETODENSE_ALG_DEFAULT, &size));
  {
    OnDevice<char> work(size + 1);
    CHECK(cusparseSparseToDense(handle, matrix, full, CUSPARSE_SPARSETODENSE_ALG_DEFAULT, work.data()));
    check("dense", dfull.host(), dense, 0);
  }

  cusparseSpMatDescr_t result;
  CHECK(cusparseCreateCsr(&result, rows, columns, 0, nullptr, nullptr, nullptr, CUSPARSE_INDEX_32I, CUSPARSE_INDEX_32I,
                          CUSPARSE_INDEX_BASE_ZERO, CUDA_R_64F));
  cusparseSpGEMMDescr_t gemm;
  CHECK(cusparseSpGEMM_createDescr(&gemm));
  const auto op = CUSPARSE_OPERATION_NON_TRANSPOSE;
  std::size_t first = 0, second = 0;
  CHECK(cusparseSpGEMM_workEstimation(handle, op, op, &one, matrix, matrix, &zero, result, CUDA_R_64F,
                                      CUSPARSE_SPGEMM_DEFAULT, gemm, &first, nullptr));
  OnDevice<char> estimate(first + 1);
  CHECK(cusparseSpGEMM_workEstimation(handle, op, op, &one, matrix, matrix, &zero, result, CUDA_R_64F,
                                      CUSPARSE_SPGEMM_DEFAULT, gemm, &first, estimate.data()));
  CHECK(cusparseSpGEMM_compute(handle, op, op, &one, matrix, matrix, &zero, result, CUDA_R_64F, CUSPARSE_SPGEMM_DEFAULT,
                               gemm, &second, nullptr));
  OnDevice<char> compute(second + 1);
  CHECK(cusparseSpGEMM_compute(handle, op, op, &one, matrix, matrix, &zero, result, CUDA_R_64F, CUSPARSE_SPGEMM_DEFAULT,
                               gemm, &second, compute.data()));
  std::int64_t r, c, count;
  CHECK(cusparseSpMatGetSize(result, &r, &c, &count));
  OnDevice<int> roffsets(rows + 1), rindices(count);
  OnDevice<double> rvalues(count);
  CHECK(cusparseCsrSetPointers(result, roffsets.data(), rindices.data(), rvalues.data()));
  CHECK(cusparseSpGEMM_copy(handle, op, op, &one, matrix, matrix, &zero, result, CUDA_R_64F, CUSPARSE_SPGEMM_DEFAULT,
                            gemm));
  std::vector<double> square(rows * columns);
  const auto o = roffsets.host(), at = rindices.host();
  const auto v = rvalues.host();
  for (int i = 0; i < rows; ++i)
    for (int k = o[i]; k < o[i + 1]; ++k) square[at[k] * rows + i] = v[k];
  check("sparse", square, product(dense, dense, rows, columns, columns), 1e-12);
  give("sparse", square, 1e-13);

  cusparseSpSVDescr_t solver;
  CHECK(cusparseSpSV_createDescr(&solver));
  cusparseFillMode_t lower = CUSPARSE_FILL_MODE_LOWER;
  CHECK(cusparseSpMatSetAttribute(matrix, CUSPARSE_SPMAT_FILL_MODE, &lower, sizeof lower));
  CHECK(
      cusparseSpSV_bufferSize(handle, op, &one, matrix, vx, vy, CUDA_R_64F, CUSPARSE_SPSV_ALG_DEFAULT, solver, &size));
  OnDevice<char> solving(size + 1);
  CHECK(cusparseSpSV_analysis(handle, op, &one, matrix, vx, vy, CUDA_R_64F, CUSPARSE_SPSV_ALG_DEFAULT, solver,
                              solving.data()));
  CHECK(cusparseSpSV_solve(handle, op, &one, matrix, vx, vy, CUDA_R_64F, CUSPARSE_SPSV_ALG_DEFAULT, solver));
  give("solved", dy.host(), 1e-12);
  CHECK(cusparseSpSV_destroyDescr(solver));
  CHECK(cusparseSpGEMM_destroyDescr(gemm));
  CHECK(cusparseDestroy(handle));
}
