# needs: torch
# about: torch.profiler with CUDA activities (CUPTI), NVTX ranges, cudaProfilerStart and Stop
# refused: CUPTI is not carried: the profiler sees no kernels
import torch
from results import give

x = torch.randn(256, 256, generator=torch.Generator().manual_seed(3)).cuda()
torch.cuda.profiler.start()
torch.cuda.nvtx.range_push("range")
y = x @ x
torch.cuda.nvtx.range_pop()
torch.cuda.profiler.stop()
activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
with torch.profiler.profile(activities=activities) as profile:
    for _ in range(3):
        y = (y @ x).tanh()
    torch.cuda.synchronize()
give("values", y)
kernels = [event for event in profile.events() if event.device_type == torch.autograd.DeviceType.CUDA]
print("kernels that CUPTI saw:", len(kernels))
give("profiled", [bool(kernels)])
