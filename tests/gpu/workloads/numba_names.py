"""Gives NumPy back the names that it has dropped and that an older Numba still looks up as it is imported; no row of
its own. Without them Numba works neither natively nor forwarded on a machine with both."""

import numpy

for name, function in {"row_stack": numpy.vstack, "trapz": getattr(numpy, "trapezoid", None),
                       "in1d": lambda a, b, *rest, **named: numpy.isin(a, b, *rest, **named).ravel()}.items():
    if not hasattr(numpy, name):
        setattr(numpy, name, function)
