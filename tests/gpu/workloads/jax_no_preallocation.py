# needs: jax
# env: XLA_PYTHON_CLIENT_PREALLOCATE=false
# about: the same without preallocation
from jax_steps import run

run()
