# needs: numba_cuda
# seconds: 240
# slots: 2
# about: numba.cuda.tests.doc_examples: the examples of its documentation
import numba_own

numba_own.run("doc_examples", "test_*.py", workers=2)
