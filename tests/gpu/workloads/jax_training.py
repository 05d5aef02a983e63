# needs: jax
# env: XLA_PYTHON_CLIENT_MEM_FRACTION=0.15
# about: JAX jit, grad, vmap, scan, linear algebra, FFT, training loop; memory preallocated
from jax_steps import run

run()
