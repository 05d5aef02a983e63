# needs: numba_cuda
# seconds: 300
# slots: 3
# about: numba.cuda.tests.cudapy, files m-t
import numba_own

numba_own.run("cudapy", "test_[m-t]*.py", workers=3)
