# needs: torch
# env: PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True PYTORCH_ALLOC_CONF=expandable_segments:True
# about: cuMemCreate, cuMemMap: the allocator's expandable segments
import torch
from allocator_steps import run

assert torch.cuda.get_allocator_backend() == "native"
run()
