# needs: cupy
# about: CuPy random numbers through cuRAND, both of its interfaces
import cupy
from results import give

cupy.random.seed(131)
for name, values in {
    "uniform": cupy.random.random(10_000), "normal": cupy.random.standard_normal(10_000),
    "randint": cupy.random.randint(0, 1000, 10_000), "permutation": cupy.random.permutation(5_000),
    "poisson": cupy.random.poisson(4.0, 10_000), "gamma": cupy.random.gamma(2.0, size=10_000),
    "choice": cupy.random.choice(1000, 200, replace=False), "lognormal": cupy.random.lognormal(size=1000),
    "binomial": cupy.random.binomial(20, 0.3, 5_000), "beta": cupy.random.beta(2.0, 3.0, 5_000),
}.items():
    give(name, values, 1e-12)
for generator in (cupy.random.XORWOW, cupy.random.MRG32k3a, cupy.random.Philox4x3210):
    numbers = cupy.random.Generator(generator(137))
    label = generator.__name__
    give(f"{label}-uniform", numbers.random(10_000), 1e-12)
    give(f"{label}-normal", numbers.standard_normal(10_000), 1e-12)
    give(f"{label}-integers", numbers.integers(0, 100, 10_000))
    give(f"{label}-gamma", numbers.gamma(2.0, size=5_000), 1e-12)
values = cupy.random.standard_normal(1_000_000)
assert abs(float(values.mean())) < 0.01 and abs(float(values.std()) - 1) < 0.01
