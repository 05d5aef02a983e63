# needs: cupy
# about: CuPy elementwise, broadcasting, reductions, sort and scan (CUB), indexing, linear algebra, streams and events
import cupy
import numpy
from results import check, give

random = numpy.random.default_rng(113)
a, b = random.standard_normal((300, 257)), random.standard_normal((300, 257))
x, y = cupy.asarray(a), cupy.asarray(b)
check("elementwise", cupy.sin(x) * y + cupy.sqrt(cupy.abs(x)) / (1 + y * y),
      numpy.sin(a) * b + numpy.sqrt(abs(a)) / (1 + b * b), 1e-12)
check("float32", cupy.tanh(x.astype("f")) @ y.T.astype("f"), numpy.tanh(a) @ b.T, 1e-5)
for name in ("sum", "prod", "min", "max", "mean", "std", "argmax", "cumsum"):
    for axis in (None, 0, 1):
        check(f"{name}-{axis}", getattr(cupy, name)(x, axis=axis), getattr(numpy, name)(a, axis=axis), 1e-9)
check("sort", cupy.sort(x.ravel()), numpy.sort(a.ravel()), 0)
check("argsort", cupy.argsort(x, axis=1), numpy.argsort(a, axis=1), 0)
check("lexsort", cupy.lexsort(x[:3]), numpy.lexsort(a[:3]), 0)
check("unique", cupy.unique((x * 10).round()), numpy.unique((a * 10).round()), 0)
check("histogram", cupy.histogram(x, 40)[0], numpy.histogram(a, 40)[0], 0)
check("where", x[cupy.where(y > 1)], a[numpy.where(b > 1)], 0)
check("einsum", cupy.einsum("ij,kj->ik", x, y), numpy.einsum("ij,kj->ik", a, b), 1e-10)
check("solve", cupy.linalg.solve(x[:200, :200], y[:200]), numpy.linalg.solve(a[:200, :200], b[:200]), 1e-6)
check("svd", cupy.linalg.svd(x, compute_uv=False), numpy.linalg.svd(a, compute_uv=False), 1e-9)
part = a[:200, :200] + a[:200, :200].T
check("eigh", cupy.linalg.eigvalsh(cupy.asarray(part)), numpy.linalg.eigvalsh(part), 1e-9)
check("complex", cupy.exp(1j * x), numpy.exp(1j * a), 1e-12)
check("strings", cupy.packbits((x > 0).astype("u1")), numpy.packbits((a > 0).astype("u1")), 0)

stream, event = cupy.cuda.Stream(non_blocking=True), cupy.cuda.Event()
with stream:
    z = cupy.asarray(a) * 2
    event.record(stream)
cupy.cuda.get_current_stream().wait_event(event)
give("streams", z + x)
called = []
stream.launch_host_func(called.append, 5)
stream.synchronize()
assert called == [5], called

graph_stream = cupy.cuda.Stream(non_blocking=True)
with graph_stream:
    cupy.multiply(x, 2, out=z)
    graph_stream.synchronize()
    graph_stream.begin_capture()
    cupy.multiply(x, 3, out=z)
    graph = graph_stream.end_capture()
    graph.launch(graph_stream)
    graph_stream.synchronize()
check("graph", z, a * 3, 1e-12)
give("reduced", cupy.asarray([x.sum(), y.std()]), 1e-12)
