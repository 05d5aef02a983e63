# needs: numba_cuda
# seconds: 300
# slots: 3
# about: numba.cuda.tests.cudapy, files a
import numba_own

numba_own.run("cudapy", "test_[a]*.py", workers=3)
