"""The likelihood of data under a flow: the instantaneous change of variables (arXiv:1806.07366, theorem 1).

Along dx/dt = v(x, t) the log-density changes by -div v, so that with x(1) standard normal

    ln p(x(0)) = ln N(x(1); 0, 1) + integral_0^1 div v dt
"""

import math

import jax
import jax.numpy as jnp

from unified_jax.core.noise.prediction import VELOCITY
from unified_jax.core.noise.rectified import Rectified
from unified_jax.core.types import Array, Float
from unified_jax.sampling.solvers.solve import Denoiser, Network


def log_likelihood(
    network: Network, x: Float[Array, "B P"], *, t: Float[Array, "N"], path: Rectified
) -> Float[Array, "B"]:
    """ln p of every row, in nats, by the midpoint method over the ascending times ``t``.

    The first time must be above 0 where the network predicts the data itself. The divergence is exact and costs P
    evaluations, so P should be small.
    """
    denoiser = Denoiser(network, path)
    basis = jnp.eye(x.shape[-1])

    def slopes(x, t):
        velocity = lambda x: denoiser(x, path.at(t)).read(VELOCITY)
        along = lambda axis: jax.jvp(velocity, (x,), (jnp.broadcast_to(axis, x.shape),))[1] @ axis
        return velocity(x), jax.vmap(along)(basis).sum(0)

    def step(carry, ends):
        (x, change), (start, end) = carry, ends
        middle = x + (end - start) / 2 * slopes(x, start)[0]
        velocity, divergence = slopes(middle, (start + end) / 2)
        return (x + (end - start) * velocity, change + (end - start) * divergence), None

    (x, change), _ = jax.lax.scan(step, (x, jnp.zeros(x.shape[0])), (t[:-1], t[1:]))
    return change - 0.5 * jnp.sum(x**2 + math.log(2 * math.pi), -1)
