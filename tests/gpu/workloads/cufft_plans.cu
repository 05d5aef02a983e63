// link: -lcufft
// about: cuFFT plans: 1 to 3 dimensions, batches, real and complex, double, in a stream, captured into a graph
#include <cufft.h>

#include "results.h"

static std::vector<float> floats(OnDevice<cufftComplex>& values, std::size_t count) {
  CHECK(cudaDeviceSynchronize());
  std::vector<float> host(2 * count);
  CHECK(cudaMemcpy(host.data(), values.data(), host.size() * sizeof(float), cudaMemcpyDeviceToHost));
  return host;
}

int main() {
  for (const int size : {64, 1000, 1021, 4096}) {
    const int batch = 6;
    const auto source = numbers(2 * size * batch, size);
    OnDevice<cufftComplex> in(size * batch), out(size * batch);
    CHECK(cudaMemcpy(in.data(), source.data(), source.size() * sizeof(float), cudaMemcpyHostToDevice));
    cufftHandle plan;
    CHECK(cufftPlan1d(&plan, size, CUFFT_C2C, batch));
    CHECK(cufftExecC2C(plan, in.data(), out.data(), CUFFT_FORWARD));
    const auto spectrum = floats(out, size * batch);
    std::vector<float> first;
    std::vector<double> wanted;
    for (const int bin : {0, 1, 17, size - 1}) {
      double real = 0, imaginary = 0;
      for (int i = 0; i < size; ++i) {
        const double angle = -2 * M_PI * (static_cast<double>(bin) * i / size);
        real += source[2 * i] * std::cos(angle) - source[2 * i + 1] * std::sin(angle);
        imaginary += source[2 * i] * std::sin(angle) + source[2 * i + 1] * std::cos(angle);
      }
      wanted.insert(wanted.end(), {real, imaginary});
      first.insert(first.end(), {spectrum[2 * bin], spectrum[2 * bin + 1]});
    }
    check("bins", first, wanted, 1e-5);
    give("c2c-" + std::to_string(size), spectrum, 1e-6);
    CHECK(cufftExecC2C(plan, out.data(), out.data(), CUFFT_INVERSE));
    auto back = floats(out, size * batch);
    for (float& value : back) value /= static_cast<float>(size);
    check("back", back, source, 1e-5);
    CHECK(cufftDestroy(plan));
  }

  const int dims[3] = {24, 30, 40};
  const auto source = numbers<double>(24 * 30 * 40, 5);
  OnDevice<double> real(source);
  OnDevice<cufftDoubleComplex> spectrum(24 * 30 * 21);
  cufftHandle plan, inverse;
  CHECK(cufftPlanMany(&plan, 3, const_cast<int*>(dims), nullptr, 1, 0, nullptr, 1, 0, CUFFT_D2Z, 1));
  CHECK(cufftPlan3d(&inverse, 24, 30, 40, CUFFT_Z2D));
  cudaStream_t stream;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CHECK(cufftSetStream(plan, stream));
  CHECK(cufftSetStream(inverse, stream));
  CHECK(cufftExecD2Z(plan, real.data(), spectrum.data()));
  CHECK(cudaStreamSynchronize(stream));
  std::vector<double> parts(2 * 24 * 30 * 21);
  CHECK(cudaMemcpy(parts.data(), spectrum.data(), parts.size() * sizeof(double), cudaMemcpyDeviceToHost));
  give("d2z", parts, 1e-14);

  cudaGraph_t graph;
  cudaGraphExec_t executable;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  CHECK(cufftExecD2Z(plan, real.data(), spectrum.data()));
  CHECK(cufftExecZ2D(inverse, spectrum.data(), real.data()));
  CHECK(cudaStreamEndCapture(stream, &graph));
  CHECK(cudaGraphInstantiate(&executable, graph, 0));
  CHECK(cudaGraphLaunch(executable, stream));
  CHECK(cudaStreamSynchronize(stream));
  auto back = real.host();
  for (double& value : back) value /= 24 * 30 * 40;
  check("graph", back, source, 1e-12);
  CHECK(cudaGraphExecDestroy(executable));
  CHECK(cudaGraphDestroy(graph));

  cufftHandle plane;
  CHECK(cufftPlan2d(&plane, 60, 84, CUFFT_R2C));
  OnDevice<float> image(numbers(60 * 84, 6));
  OnDevice<cufftComplex> waves(60 * 43);
  CHECK(cufftExecR2C(plane, image.data(), waves.data()));
  give("r2c", floats(waves, 60 * 43), 1e-6);
  for (const cufftHandle handle : {plan, inverse, plane}) CHECK(cufftDestroy(handle));
}
