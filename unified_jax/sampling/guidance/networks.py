"""Networks made of networks, ``(x, point) -> output``: guidance that takes more than the rows of one batch."""

from collections.abc import Callable

import jax

from unified_jax.core.noise import Path
from unified_jax.core.noise.prediction import CLEAN, convert
from unified_jax.core.types import Array
from unified_jax.sampling.guidance.classifier_free import towards
from unified_jax.sampling.guidance.correct import threshold
from unified_jax.sampling.solvers.solve import Network


def autoguided(network: Network, weak: Network, *, scale: float) -> Network:
    """Away from a smaller or less trained network of the same task (arXiv:2406.02507, eq. 3)."""
    return lambda x, point: towards(weak(x, point), network(x, point), scale)


def classifier_guided(
    network: Network, log_prob: Callable[[Array, Array], Array], *, path: Path, scale: float
) -> Network:
    """Towards what a classifier of noisy data believes: e - scale sigma grad ln p(y | x_t) (arXiv:2105.05233, eq. 14).

    log_prob: (x, t) -> ln p(y | x_t) of every row [B]. Whatever the network predicts, it is moved as its noise is; not
    finite at pure noise, of which a classifier knows nothing.
    """

    def guided(x, point):
        gradient = jax.grad(lambda x: log_prob(x, point.t).sum())(x)
        at = point.over(x)
        a, b = path.output.row(at)
        return network(x, point) - scale * at.ratio * (at.alpha * b - at.sigma * a) * gradient

    return guided


def thresholded(network: Network, *, path: Path, quantile: float = 0.995) -> Network:
    """The network's data estimate under dynamic thresholding (``correct.threshold``)."""

    def corrected(x, point):
        clean = convert(network(x, point), x, point=point, source=path.output, to=CLEAN)
        return convert(threshold(clean, quantile=quantile), x, point=point, source=CLEAN, to=path.output)

    return corrected
