# needs: numba_cuda
# seconds: 360
# slots: 3
# about: numba.cuda.tests.cudapy, files b-c
import numba_own

numba_own.run("cudapy", "test_[b-c]*.py", workers=3)
