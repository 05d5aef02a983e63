# needs: numba numba_cuda
# about: Numba's memory: to_device, pinned, mapped, managed, streams and events, a view of a PyTorch tensor
import numba_names  # noqa: F401
import numpy
from numba import cuda
from results import check, give


@cuda.jit
def add(values, amount):
    index = cuda.grid(1)
    if index < values.size:
        values[index] += amount


a = numpy.arange(100_000, dtype="d")
x = cuda.to_device(a)
add[400, 256](x, 1.0)
check("to_device", x.copy_to_host(), a + 1, 0)
check("slices", x[100:200].copy_to_host(), a[100:200] + 1, 0)
streams = [cuda.stream() for _ in range(4)]
parts = []
with cuda.pinned(a):
    for index, stream in enumerate(streams):
        part = cuda.to_device(a[index * 25_000:(index + 1) * 25_000], stream=stream)
        add[100, 256, stream](part, float(index))
        parts.append(part)
    got = [part.copy_to_host(stream=stream) for part, stream in zip(parts, streams)]
    for stream in streams:
        stream.synchronize()
wanted = numpy.concatenate([a[index * 25_000:(index + 1) * 25_000] + index for index in range(4)])
check("pinned", numpy.concatenate(got), wanted, 0)
host = cuda.pinned_array(1000, "d")
host[:] = 5
on_gpu = cuda.to_device(host)
add[4, 256](on_gpu, 2.0)
on_gpu.copy_to_host(host)
check("pinned_array", host, numpy.full(1000, 7.0), 0)
mapped = cuda.mapped_array(1000, "d")
mapped[:] = 1
add[4, 256](mapped, 3.0)
cuda.synchronize()
check("mapped", numpy.array(mapped), numpy.full(1000, 4.0), 0)
managed = cuda.managed_array(1000, "d")
managed[:] = 2
add[4, 256](managed, 3.0)
cuda.synchronize()
check("managed", numpy.array(managed), numpy.full(1000, 5.0), 0)
begin, end = cuda.event(), cuda.event()
begin.record()
add[400, 256](x, 1.0)
end.record()
end.synchronize()
assert cuda.event_elapsed_time(begin, end) >= 0
give("after", x.copy_to_host())
with cuda.defer_cleanup():
    for _ in range(20):
        cuda.device_array(10_000)
y = cuda.device_array_like(x)
y.copy_to_device(x)
check("copy", y.copy_to_host(), a + 2, 0)
try:
    import torch

    tensor = torch.zeros(256, dtype=torch.float64, device="cuda")
    add[1, 256](cuda.as_cuda_array(tensor), 9.0)
    cuda.synchronize()
    check("torch", tensor, numpy.full(256, 9.0), 0)
except ImportError:
    pass
