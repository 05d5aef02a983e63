# needs: numba_cuda
# seconds: 300
# slots: 3
# about: numba.cuda.tests.cudapy, files d-l
import numba_own

numba_own.run("cudapy", "test_[d-l]*.py", workers=3)
