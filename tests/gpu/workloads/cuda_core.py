# needs: cuda.core cuda.bindings
# about: NVIDIA's cuda.core and cuda.bindings for Python: a program compiled by NVRTC, streams, events, buffers, a graph
import numpy
from cuda.bindings import driver
from cuda.core import Device, LaunchConfig, Program, ProgramOptions, launch
from results import check, give

SOURCE = """
template <typename T> __global__ void scale(const T* in, T* out, T factor, size_t count) {
  size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x;
  if (i < count) out[i] = in[i] * factor;
}
"""


def ok(result):
    assert int(result[0]) == 0, result[0]
    return result[1] if len(result) > 1 else None


device = Device()
device.set_current()
print(device.name, device.compute_capability, device.properties.multiprocessor_count)
stream = device.create_stream()
program = Program(SOURCE, code_type="c++", options=ProgramOptions(std="c++17", arch=f"sm_{device.arch}"))
kernel = program.compile("cubin", name_expressions=("scale<float>",)).get_kernel("scale<float>")
host = numpy.arange(10_000, dtype="f")
source, out = (device.allocate(host.nbytes, stream=stream) for _ in range(2))
stream.sync()
ok(driver.cuMemcpyHtoD(int(source.handle), host.ctypes.data, host.nbytes))
begin = device.create_event()
stream.record(begin)
launch(stream, LaunchConfig(grid=40, block=256), kernel, source, out, numpy.float32(3), numpy.uint64(10_000))
stream.sync()
got = numpy.zeros_like(host)
ok(driver.cuMemcpyDtoH(got.ctypes.data, int(out.handle), host.nbytes))
check("scaled", got, host * 3, 0)
give("scaled", got)

ok(driver.cuStreamBeginCapture(int(stream.handle), driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL))
ok(driver.cuMemsetD32Async(int(out.handle), 0, 10_000, int(stream.handle)))
ok(driver.cuMemcpyDtoDAsync(int(out.handle), int(source.handle), 4000, int(stream.handle)))
graph = ok(driver.cuStreamEndCapture(int(stream.handle)))
executable = ok(driver.cuGraphInstantiate(graph, 0))
ok(driver.cuGraphLaunch(executable, int(stream.handle)))
stream.sync()
ok(driver.cuMemcpyDtoH(got.ctypes.data, int(out.handle), host.nbytes))
check("graph", got, numpy.where(numpy.arange(10_000) < 1000, host, 0), 0)
source.close(stream)
out.close(stream)
stream.sync()
