# needs: torch
# env: PYTORCH_CUDA_ALLOC_CONF=backend:cudaMallocAsync PYTORCH_ALLOC_CONF=backend:cudaMallocAsync
# about: cudaMallocAsync and memory pools as the allocator's backend
import torch
from allocator_steps import run

assert torch.cuda.get_allocator_backend() == "cudaMallocAsync"
run()
