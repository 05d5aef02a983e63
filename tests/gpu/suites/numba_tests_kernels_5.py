# needs: numba_cuda
# seconds: 300
# slots: 3
# about: numba.cuda.tests.cudapy, files u-z
import numba_own

numba_own.run("cudapy", "test_[u-z]*.py", workers=3)
