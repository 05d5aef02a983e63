// Functions of the CUDA math library, which become long sequences of instructions.
extern "C" __global__ void double_math(const double* in, double* out, int count) {
  const int i = threadIdx.x;
  if (i >= count) return;
  const double x = in[i];
  double* to = out + 12 * i;
  to[0] = sqrt(x);
  to[1] = exp(-x);
  to[2] = log(x);
  to[3] = sin(x);
  to[4] = cos(x);
  to[5] = pow(x, 1.7);
  to[6] = tanh(x);
  to[7] = 1.0 / x;
  to[8] = fma(x, x, -1.0);
  to[9] = floor(x) + ceil(x) + rint(x) + trunc(x);
  to[10] = atan2(x, 2.0);
  to[11] = fmod(x, 0.3) + cbrt(x);
}

extern "C" __global__ void float_math(const float* in, float* out, int count) {
  const int i = threadIdx.x;
  if (i >= count) return;
  const float x = in[i];
  float* to = out + 10 * i;
  to[0] = sqrtf(x);
  to[1] = expf(-x);
  to[2] = logf(x);
  to[3] = sinf(x * 1000.0f);
  to[4] = cosf(x);
  to[5] = powf(x, 1.7f);
  to[6] = tanhf(x);
  to[7] = 1.0f / x;
  to[8] = erff(x);
  to[9] = __fdividef(x, 3.0f) + rsqrtf(x);
}

extern "C" __global__ void integer_math(const long long* in, long long* out, int count) {
  const int i = threadIdx.x;
  if (i >= count) return;
  const long long x = in[i];
  const long long y = in[(i + 1) % count];
  long long* to = out + 6 * i;
  to[0] = x / (y | 1);
  to[1] = x % (y | 1);
  to[2] = __mul64hi(x, y);
  to[3] = static_cast<long long>(static_cast<unsigned long long>(x) / (static_cast<unsigned long long>(y) | 1));
  to[4] = __popcll(x) + __clzll(x) + __ffsll(y) + __brev(static_cast<unsigned>(x));
  to[5] = static_cast<int>(x) / 7 + static_cast<int>(y) % 13 + static_cast<long long>(static_cast<double>(x) * 0.5);
}
