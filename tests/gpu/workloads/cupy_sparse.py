# needs: cupy scipy
# about: cupyx.scipy: sparse products and solvers (cuSPARSE, cuSOLVER), signal, ndimage, special functions
import cupy
import cupyx.scipy.ndimage
import cupyx.scipy.signal
import cupyx.scipy.sparse
import cupyx.scipy.sparse.linalg
import cupyx.scipy.special
import numpy
import scipy.ndimage
import scipy.signal
import scipy.sparse
import scipy.sparse.linalg
import scipy.special
from results import check, give

random = numpy.random.default_rng(149)
a = scipy.sparse.random(400, 300, 0.03, "csr", random_state=random)
b = random.standard_normal((300, 20))
x, y = cupyx.scipy.sparse.csr_matrix(a), cupy.asarray(b)
check("product", x @ y, a @ b, 1e-12)
give("product", x @ y, 1e-13)
check("vector", x @ y[:, 0], a @ b[:, 0], 1e-12)
check("sparse", (x @ x.T.tocsr()).toarray(), (a @ a.T).toarray(), 1e-12)
check("sum", (x + x * 2).toarray(), (a * 3).toarray(), 1e-12)
check("csc", x.tocsc().T.toarray(), a.T.toarray(), 0)
check("coo", x.tocoo().toarray(), a.toarray(), 0)
square = scipy.sparse.random(300, 300, 0.02, "csr", random_state=random) + scipy.sparse.eye(300) * 10
on_gpu = cupyx.scipy.sparse.csr_matrix(square)
check("spsolve", cupyx.scipy.sparse.linalg.spsolve(on_gpu, y[:, 0]),
      scipy.sparse.linalg.spsolve(square.tocsc(), b[:, 0]), 1e-9)
symmetric = (square + square.T).tocsr()
solved = cupyx.scipy.sparse.linalg.cg(cupyx.scipy.sparse.csr_matrix(symmetric), y[:, 1], rtol=1e-10)[0]
check("cg", symmetric @ solved.get(), b[:, 1], 1e-6)
eigenvalues = cupyx.scipy.sparse.linalg.eigsh(cupyx.scipy.sparse.csr_matrix(symmetric), 4, return_eigenvectors=False)
check("eigsh", cupy.sort(eigenvalues),
      numpy.sort(scipy.sparse.linalg.eigsh(symmetric, 4, return_eigenvectors=False)), 1e-6)
image = random.standard_normal((64, 80))
on_gpu = cupy.asarray(image)
check("gaussian", cupyx.scipy.ndimage.gaussian_filter(on_gpu, 2), scipy.ndimage.gaussian_filter(image, 2), 1e-10)
check("rotate", cupyx.scipy.ndimage.rotate(on_gpu, 30, order=1), scipy.ndimage.rotate(image, 30, order=1), 1e-9)
check("convolve", cupyx.scipy.signal.fftconvolve(on_gpu, y[:9, :9]), scipy.signal.fftconvolve(image, b[:9, :9]), 1e-10)
check("special", cupyx.scipy.special.gammaln(cupy.abs(y) + 1), scipy.special.gammaln(abs(b) + 1), 1e-11)
