"""jit, grad, vmap, scan, linear algebra, FFT, random numbers and a training loop in JAX; no row of its own."""

import jax
import jax.numpy as jnp
import numpy
from results import check, give


def run():
    print("jax", jax.__version__, jax.devices())
    assert jax.devices()[0].platform == "gpu"
    key = jax.random.key(109)
    x = jax.random.normal(key, (512, 384))
    give("normal", x)

    @jax.jit
    def function(value):
        return jnp.tanh(value @ value.T).sum(axis=1) + jnp.sin(value).mean()

    # A product in TF32, whose algorithm XLA chooses by timing.
    give("jit", function(x), 1e-3)
    gradient = jax.jit(jax.grad(lambda value: function(value).sum()))
    give("grad", gradient(x), 1e-3)
    give("vmap", jax.vmap(lambda row: jnp.sort(row)[:10])(x), 1e-6)
    give("scan", jax.lax.scan(lambda carry, row: (carry * 0.9 + row, carry.sum()), jnp.zeros(384), x)[1], 1e-5)

    host = numpy.asarray(x, numpy.float64)
    with jax.default_matmul_precision("highest"):
        check("matmul", x @ x.T, host @ host.T, 1e-5)
        square = x[:200, :200]
        check("solve", square @ jnp.linalg.solve(square, x[:200, :3]), x[:200, :3], 1e-2)
        check("svd", jnp.linalg.svd(x, compute_uv=False), numpy.linalg.svd(host, compute_uv=False), 1e-4)
        symmetric = host[:200, :200] + host[:200, :200].T
        check("eigh", jnp.linalg.eigh(square + square.T)[0], numpy.linalg.eigvalsh(symmetric), 1e-4)
        give("cholesky", jnp.linalg.cholesky(x.T @ x + jnp.eye(384)), 1e-4)
    check("fft", jnp.fft.fft2(x), numpy.fft.fft2(host), 1e-5)
    weights = x[:27, :].reshape(-1)[:24 * 27].reshape(24, 3, 3, 3)
    convolved = jax.lax.conv_general_dilated(x.reshape(4, 3, 128, 128), weights, (1, 1), "SAME")
    give("convolution", convolved, 2e-3)
    bf16 = x.astype(jnp.bfloat16)
    give("bf16", (bf16 @ bf16.T).astype(jnp.float32), 1e-2)
    give("integers", jax.random.randint(key, (1000,), 0, 100))
    train(key)


def train(key):
    keys = jax.random.split(key, 4)
    parameters = [jax.random.normal(keys[0], (32, 64)) * 0.1, jnp.zeros(64), jax.random.normal(keys[1], (64, 4)) * 0.1]
    inputs = jax.random.normal(keys[2], (256, 32))
    targets = jnp.tanh(inputs[:, :4] * 2)

    def loss_of(values):
        return jnp.mean((jnp.tanh(inputs @ values[0] + values[1]) @ values[2] - targets) ** 2)

    @jax.jit
    def step(values, moments):
        loss, gradients = jax.value_and_grad(loss_of)(values)
        moments = [0.9 * m + g for m, g in zip(moments, gradients)]
        return [v - 0.05 * m for v, m in zip(values, moments)], moments, loss

    moments = [jnp.zeros_like(value) for value in parameters]
    losses = []
    for _ in range(100):
        parameters, moments, loss = step(parameters, moments)
        losses.append(loss)
    give("losses", jnp.stack(losses), 1e-3)
    assert losses[-1] < losses[0] * 0.5
    print("loss", losses[0], "to", losses[-1])
