# needs: cupy
# about: CuPy memory pools, cudaMallocAsync, managed and pinned memory, pool statistics and limits
import cupy
import numpy
from results import check, give

pool = cupy.get_default_memory_pool()
arrays = [cupy.full(size, index, "f") for index, size in enumerate((100, 5_000, 1_000_000, 20_000_000))]
give("used", numpy.array([pool.used_bytes(), pool.total_bytes()]))
del arrays
pool.free_all_blocks()
give("freed", numpy.array([pool.used_bytes(), pool.total_bytes()]))
with cupy.cuda.Device(0):
    pool.set_limit(size=1 << 20)
    try:
        cupy.empty(4 << 20, "u1")
        raise SystemExit("FAILED: more than the limit")
    except cupy.cuda.memory.OutOfMemoryError:
        pool.set_limit(size=0)

a = numpy.arange(100_000, dtype="d")
for name, allocate in {"async": cupy.cuda.MemoryAsyncPool().malloc,
                       "managed": cupy.cuda.MemoryPool(cupy.cuda.malloc_managed).malloc, "plain": None}.items():
    print(name, flush=True)
    with cupy.cuda.using_allocator(allocate):
        x = cupy.asarray(a)
        check(name, cupy.sqrt(x) + x[::-1], numpy.sqrt(a) + a[::-1], 1e-14)
        del x

pinned = cupy.cuda.alloc_pinned_memory(a.nbytes)
host = numpy.frombuffer(pinned, a.dtype, a.size)
host[...] = a
stream = cupy.cuda.Stream(non_blocking=True)
x = cupy.empty_like(a)
x.set(host, stream=stream)
stream.synchronize()
back = (x * 2).get()
check("pinned", back, a * 2, 0)

free, total = cupy.cuda.Device(0).mem_info
assert 0 < free <= total
attributes = cupy.cuda.runtime.pointerGetAttributes(x.data.ptr)
give("pointer", numpy.array([attributes.type, attributes.device]))
