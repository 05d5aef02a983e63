# needs: numba_cuda
# seconds: 240
# slots: 2
# about: numba.cuda.tests.nrt: its runtime on the device
import numba_own

numba_own.run("nrt", "test_*.py", workers=2)
