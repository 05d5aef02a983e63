# needs: jax absl
# seconds: 300
# slots: 2
# env: XLA_PYTHON_CLIENT_PREALLOCATE=false
# about: JAX's own harnesses (jax._src.internal_test_util): four of each primitive, compiled for the GPU
import collections

import jax
import numpy
from jax._src.internal_test_util import test_harnesses
from outcomes import attempt
from results import give

EACH = 4


def run(harness, collected):
    arguments = harness.dyn_args_maker(numpy.random.RandomState(173))
    out = jax.block_until_ready(jax.jit(harness.dyn_fun)(*arguments))
    for value in jax.tree.leaves(out):
        array = numpy.asarray(value)
        if array.dtype.kind in "fiu" and array.size:
            # Of the same order of magnitude whatever the primitive, and free of what no sum should have.
            collected.append(numpy.nan_to_num(array.astype("d"), nan=0.5, posinf=2, neginf=-2).ravel()[:50])


def supported(harness):
    return not any(limitation.skip_run for limitation in harness.jax_unimplemented
                   if limitation.filter(device="gpu", dtype=harness.dtype))


assert jax.devices()[0].platform == "gpu"
groups = collections.defaultdict(list)
for candidate in test_harnesses.all_harnesses:
    if supported(candidate):
        groups[candidate.group_name].append(candidate)
for group, harnesses in sorted(groups.items()):
    values = []
    # JAX makes them from sets of types, whose order is another in each process.
    for each in sorted(harnesses, key=lambda harness: harness.fullname)[:EACH]:
        attempt(each.fullname, lambda: run(each, values))
    if values and not group.startswith(("random", "eig", "svd", "schur", "lu", "qr", "householder")):
        give(group, numpy.concatenate(values), 5e-3)
