# needs: jax
# env: XLA_PYTHON_CLIENT_ALLOCATOR=cuda_async XLA_PYTHON_CLIENT_MEM_FRACTION=0.15
# about: the same with XLA's cudaMallocAsync allocator
from jax_steps import run

run()
