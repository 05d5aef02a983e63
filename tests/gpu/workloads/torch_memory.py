# needs: torch
# about: the caching allocator: statistics, snapshots, limits, out of memory and recovery, memory pools, history
import torch
from results import check, give

cuda = torch.cuda
cuda.reset_peak_memory_stats()
free, total = cuda.mem_get_info()
assert 0 < free <= total
blocks = [torch.empty(size, dtype=torch.uint8, device="cuda").fill_(index) for index, size in
          enumerate((512, 1 << 20, 3 << 20, 64 << 20, 200 << 20))]
stats = cuda.memory_stats()
give("allocated", [stats["allocated_bytes.all.current"], stats["allocation.all.current"],
                   stats["reserved_bytes.all.current"], cuda.max_memory_allocated()])
for index, block in enumerate(blocks):
    assert block[0].item() == index and block[-1].item() == index
del blocks, block
cuda.empty_cache()
give("released", [cuda.memory_allocated(), cuda.memory_reserved()])

cuda.memory._record_memory_history(max_entries=1000)
x = torch.ones(1000, 1000, device="cuda")
snapshot = cuda.memory._snapshot()
assert snapshot["segments"] and any(snapshot["device_traces"])
cuda.memory._record_memory_history(enabled=None)

try:
    torch.empty(total * 2, dtype=torch.uint8, device="cuda")
    raise SystemExit("FAILED: more memory than there is")
except cuda.OutOfMemoryError as error:
    print("out of memory:", str(error).splitlines()[0][:60])
check("after", x.sum(), torch.tensor(1e6), 0)

cuda.set_per_process_memory_fraction(0.05)
try:
    torch.empty(int(total * 0.06), dtype=torch.uint8, device="cuda")
    raise SystemExit("FAILED: more than the fraction")
except cuda.OutOfMemoryError:
    pass
cuda.set_per_process_memory_fraction(1.0)

pool = cuda.MemPool()
with cuda.use_mem_pool(pool):
    y = torch.full((1 << 20,), 3.0, device="cuda")
check("pool", y.sum(), torch.tensor(3.0 * (1 << 20)), 0)
side = cuda.Stream()
with cuda.stream(side):
    z = y * 2
z.record_stream(cuda.current_stream())
cuda.current_stream().wait_stream(side)
give("streams", z.sum())
print(cuda.memory_summary(abbreviated=True)[:200])
properties = cuda.get_device_properties(0)
give("properties", [properties.multi_processor_count, properties.major, properties.minor,
                    properties.max_threads_per_multi_processor, properties.warp_size, properties.L2_cache_size])
