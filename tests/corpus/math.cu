// The math library, with the bounds that the CUDA Programming Guide documents, against long double on the CPU.
#include "corpus.hpp"

namespace {

/// From `low` to `high`, evenly, with the ends.
template <class T>
std::vector<T> between(double low, double high, int count = 400) {
  std::vector<T> values(count);
  for (int i = 0; i < count; ++i) values[i] = static_cast<T>(low + (high - low) * i / (count - 1));
  return values;
}

template <class T, class F>
void within(const char* name, void (*kernel)(T*, const T*, int), const std::vector<T>& in, F reference, double ulps,
            double absolute = 0) {
  std::vector<long double> wanted(in.size());
  for (std::size_t i = 0; i < in.size(); ++i) wanted[i] = reference(static_cast<long double>(in[i]));
  corpus::approximate(name, corpus::mapped(kernel, in), wanted, ulps, absolute);
}

}  // namespace

#define MATH(name, T, expression)                                          \
  __global__ void name(T* out, const T* in, int n) {                       \
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); \
    if (i >= n) return;                                                    \
    const T x = in[i];                                                     \
    out[i] = expression;                                                   \
  }
#define F1(name, low, high, ulps)                                                                              \
  MATH(name##_float, float, name##f(x))                                                                        \
  static void run_##name##_float() {                                                                           \
    within<float>(                                                                                             \
        #name "f", name##_float, between<float>(low, high), [](long double x) { return std::name(x); }, ulps); \
  }
#define D1(name, low, high, ulps)                                                                            \
  MATH(name##_double, double, name(x))                                                                       \
  static void run_##name##_double() {                                                                        \
    within<double>(                                                                                          \
        #name, name##_double, between<double>(low, high), [](long double x) { return std::name(x); }, ulps); \
  }

__device__ float square_root(float v) {
  float d;
  asm("sqrt.approx.f32 %0, %1;" : "=f"(d) : "f"(v));
  return d;
}
__device__ float inverse(float v) {
  float d;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(d) : "f"(v));
  return d;
}

// clang-format off
F1(exp, -80, 80, 2)
F1(exp2, -100, 100, 2)
F1(expm1, -5, 50, 1)
F1(log, 0.001, 1e6, 1)
F1(log2, 0.001, 1e6, 1)
F1(log10, 0.001, 1e6, 2)
F1(log1p, -0.9, 100, 1)
F1(sin, -1000, 1000, 2)
F1(cos, -1000, 1000, 2)
F1(tan, -50, 50, 4)
F1(asin, -1, 1, 2)
F1(acos, -1, 1, 2)
F1(atan, -50, 50, 2)
F1(sinh, -20, 20, 3)
F1(cosh, -20, 20, 2)
F1(tanh, -4, 4, 2)
F1(asinh, -100, 100, 3)
F1(acosh, 1, 100, 4)
F1(atanh, -0.99, 0.99, 3)
F1(cbrt, -1000, 1000, 1)
F1(erf, -4, 4, 2)
F1(erfc, -4, 9, 4)
F1(tgamma, 0.1, 30, 5)
F1(lgamma, 3, 60, 6)
D1(exp, -700, 700, 1)
D1(exp2, -1000, 1000, 1)
D1(expm1, -5, 50, 1)
D1(log, 0.001, 1e6, 1)
D1(log2, 0.001, 1e6, 1)
D1(log10, 0.001, 1e6, 1)
D1(log1p, -0.9, 100, 1)
D1(sin, -1000, 1000, 2)
D1(cos, -1000, 1000, 2)
D1(tan, -50, 50, 2)
D1(asin, -1, 1, 2)
D1(acos, -1, 1, 2)
D1(atan, -50, 50, 2)
D1(sinh, -20, 20, 2)
D1(cosh, -20, 20, 1)
D1(tanh, -4, 4, 1)
D1(asinh, -100, 100, 3)
D1(acosh, 1, 100, 3)
D1(atanh, -0.99, 0.99, 2)
D1(cbrt, -1000, 1000, 1)
D1(erf, -4, 4, 2)
D1(erfc, -4, 20, 5)
D1(tgamma, 0.1, 100, 10)
D1(lgamma, 3, 100, 4)
MATH(rsqrt_float, float, rsqrtf(x))
MATH(rsqrt_double, double, rsqrt(x))
MATH(sinpi_float, float, sinpif(x))
MATH(pow_float, float, powf(x, 1.7f))
MATH(pow_double, double, pow(x, -2.3))
MATH(hypot_float, float, hypotf(x, 3.0f))
MATH(atan2_double, double, atan2(x, -1.5))
MATH(large_sin, float, sinf(x))
MATH(bessel, double, j0(x))
MATH(fast_exp, float, __expf(x))
MATH(fast_log, float, __log2f(x))
MATH(fast_sin, float, __sinf(x))
MATH(fast_cos, float, __cosf(x))
MATH(fast_divide, float, __fdividef(x, 3.7f))
MATH(approximate_root, float, square_root(x))
MATH(approximate_inverse, float, inverse(x))
// clang-format on

/// sincos, modf, frexp and ldexp in one.
__global__ void parts(double* out, const double* in, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  double s, c, whole;
  int exponent;
  sincos(in[i], &s, &c);
  const double fraction = modf(in[i], &whole);
  const double mantissa = frexp(in[i], &exponent);
  out[i] = s * s + c * c - 1 + fraction + whole * 2 + ldexp(mantissa, exponent + 1);
}

int main() {
  run_exp_float(), run_exp2_float(), run_expm1_float(), run_log_float(), run_log2_float(), run_log10_float();
  run_log1p_float(), run_sin_float(), run_cos_float(), run_tan_float(), run_asin_float(), run_acos_float();
  run_atan_float(), run_sinh_float(), run_cosh_float(), run_tanh_float(), run_asinh_float(), run_acosh_float();
  run_atanh_float(), run_cbrt_float(), run_erf_float(), run_erfc_float(), run_tgamma_float(), run_lgamma_float();
  run_exp_double(), run_exp2_double(), run_expm1_double(), run_log_double(), run_log2_double(), run_log10_double();
  run_log1p_double(), run_sin_double(), run_cos_double(), run_tan_double(), run_asin_double(), run_acos_double();
  run_atan_double(), run_sinh_double(), run_cosh_double(), run_tanh_double(), run_asinh_double(), run_acosh_double();
  run_atanh_double(), run_cbrt_double(), run_erf_double(), run_erfc_double(), run_tgamma_double(), run_lgamma_double();
  constexpr long double kPi = 3.14159265358979323846264338327950288L;
  within<float>(
      "rsqrtf", rsqrt_float, between<float>(0.01, 500), [](long double x) { return 1 / std::sqrt(x); }, 2);
  within<double>(
      "rsqrt", rsqrt_double, between<double>(0.01, 500), [](long double x) { return 1 / std::sqrt(x); }, 1);
  within<float>(
      "sinpif", sinpi_float, between<float>(-3.1, 3.3), [](long double x) { return std::sin(x * kPi); }, 2, 1e-12);
  within<float>(
      "powf", pow_float, between<float>(0.01, 500),
      [](long double x) { return std::pow(x, static_cast<long double>(1.7f)); }, 4);
  within<double>(
      "pow", pow_double, between<double>(0.01, 500),
      [](long double x) { return std::pow(x, static_cast<long double>(-2.3)); }, 2);
  within<float>(
      "hypotf", hypot_float, between<float>(-50, 50), [](long double x) { return std::hypot(x, 3.0L); }, 3);
  within<double>(
      "atan2", atan2_double, between<double>(-50, 50), [](long double x) { return std::atan2(x, -1.5L); }, 2);
  within<float>(
      "sinf_large", large_sin, between<float>(1e5, 3e8), [](long double x) { return std::sin(x); }, 2);
  within<double>(
      "j0", bessel, between<double>(-7.9, 7.9), [](long double x) { return std::cyl_bessel_j(0.0L, std::fabs(x)); },
      1e9, 5e-12);
  within<float>(
      "expf_fast", fast_exp, between<float>(-20, 20), [](long double x) { return std::exp(x); }, 2 + 20 * 1.173);
  within<float>(
      "log2f_fast", fast_log, between<float>(3, 100), [](long double x) { return std::log2(x); }, 2);
  within<float>(
      "sinf_fast", fast_sin, between<float>(-3.1, 3.1), [](long double x) { return std::sin(x); }, 0, 0x1p-21);
  within<float>(
      "cosf_fast", fast_cos, between<float>(-3.1, 3.1), [](long double x) { return std::cos(x); }, 0, 0x1p-21);
  within<float>(
      "fdividef", fast_divide, between<float>(-90, 90), [](long double x) { return x / 3.7f; }, 2);
  within<float>(
      "sqrt_approx", approximate_root, between<float>(0.01, 500), [](long double x) { return std::sqrt(x); }, 3);
  within<float>(
      "rcp_approx", approximate_inverse, between<float>(0.01, 500), [](long double x) { return 1 / x; }, 1);
  within<double>(
      "parts", parts, between<double>(-30, 30), [](long double x) { return 2 * x + std::trunc(x) + x; }, 4, 1e-13);
  std::printf("math: ok\n");
}
