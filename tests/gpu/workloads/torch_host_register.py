# needs: torch
# env: PYTORCH_CUDA_ALLOC_CONF=pinned_use_cuda_host_register:True,pinned_num_register_threads:4
# about: cudaHostRegister: pinned memory by registration, a tensor registered in place, tensors in shared memory
# refused: memory that is not CUDA's is not registered
import torch
from results import check, give

host = torch.arange(1 << 20, dtype=torch.float32)
pinned = host.pin_memory()
assert pinned.is_pinned()
check("pinned", pinned.to("cuda", non_blocking=True) * 2, host * 2, 0)

runtime = torch.cuda.cudart()
place = torch.zeros(1 << 20)
error = runtime.cudaHostRegister(place.data_ptr(), place.numel() * 4, 0)
assert int(error) == 0, error
assert place.is_pinned()
place.copy_(pinned.cuda() + 1, non_blocking=True)
torch.cuda.synchronize()
check("registered", place, host + 1, 0)
error = runtime.cudaHostUnregister(place.data_ptr())
assert int(error) == 0, error
assert not place.is_pinned()

shared = torch.ones(1 << 18).share_memory_()
error = runtime.cudaHostRegister(shared.data_ptr(), shared.numel() * 4, 0)
assert int(error) == 0, error
check("shared", shared.to("cuda", non_blocking=True), torch.ones(1 << 18), 0)
assert int(runtime.cudaHostUnregister(shared.data_ptr())) == 0
give("sum", pinned.cuda().double().sum())
