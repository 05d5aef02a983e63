# needs: jax flax optax
# env: XLA_PYTHON_CLIENT_PREALLOCATE=false
# about: Flax and Optax: a convolutional network trained with AdamW; Pallas (Triton) kernel; callbacks to the host
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy
import optax
from jax.experimental import pallas as pl
from results import check, give


class Network(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(16, (3, 3))(x))
        x = nn.avg_pool(x, (2, 2), (2, 2)).reshape(x.shape[0], -1)
        return nn.Dense(10)(nn.LayerNorm()(nn.Dense(32)(x)))


keys = jax.random.split(jax.random.key(191), 3)
images, labels = jax.random.normal(keys[0], (64, 16, 16, 3)), jax.random.randint(keys[1], (64,), 0, 10)
network, optimizer = Network(), optax.adamw(3e-3)
parameters = network.init(keys[2], images)
state = optimizer.init(parameters)


@jax.jit
def step(parameters, state):
    def loss_of(values):
        return optax.softmax_cross_entropy_with_integer_labels(network.apply(values, images), labels).mean()

    loss, gradients = jax.value_and_grad(loss_of)(parameters)
    updates, state = optimizer.update(gradients, state, parameters)
    return optax.apply_updates(parameters, updates), state, loss


losses = []
for _ in range(40):
    parameters, state, loss = step(parameters, state)
    losses.append(loss)
give("losses", jnp.stack(losses), 2e-2)
assert losses[-1] < losses[0] * 0.5

called = jax.pure_callback(lambda x: numpy.asarray(x) * 2, jax.ShapeDtypeStruct((8,), jnp.float32), jnp.arange(8.0))
check("callback", jax.block_until_ready(called), numpy.arange(8.0) * 2, 0)


def add(x, y, out):
    out[...] = x[...] + y[...]


x = jnp.arange(256, dtype=jnp.float32)
summed = pl.pallas_call(add, out_shape=jax.ShapeDtypeStruct((256,), jnp.float32))(x, x)
check("pallas", summed, numpy.arange(256) * 2.0, 0)
