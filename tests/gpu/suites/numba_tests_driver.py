# needs: numba_cuda
# seconds: 240
# slots: 2
# about: numba.cuda.tests.cudadrv: its driver layer: contexts, memory, streams, events, linker, IPC
import numba_own

numba_own.run("cudadrv", "test_*.py", workers=2)
