"""How fast samplers converge where the answer is known: data from a mixture of Gaussians on a line.

  PYTHONPATH=. python experiments/samplers/orders.py

writes orders.json and orders.png beside this file, in about a minute. The best estimate of the data given x_t is then a
closed form, so a sampler's error is its own. A deterministic sampler must follow the flow, which keeps quantiles; the
law that a stochastic one draws from is computed without drawing: for one Gaussian every step is linear in x and in its
noise, so one run for each noise gives the exact mean and variance of what comes out.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
import scipy.stats

from unified_jax.core.noise import Rectified, timetable
from unified_jax.core.noise.path import Path as NoisePath
from unified_jax.sampling.solvers.ancestral import Ddim, Ddpm
from unified_jax.sampling.solvers.chart import EXPLODING
from unified_jax.sampling.solvers.churn import Churn
from unified_jax.sampling.solvers.dpm import Dpm
from unified_jax.sampling.solvers.euler import Euler
from unified_jax.sampling.solvers.flow_sde import FlowSde
from unified_jax.sampling.solvers.solve import Network, Solver, solve
from unified_jax.sampling.solvers.two_stage import TwoStage
from unified_jax.sampling.solvers.unipc import UniPc

HERE = Path(__file__).parent
TWO = np.array([[0.4, -1.0, 0.4], [0.6, 0.8, 0.3]])  # rows: weight, mean, standard deviation
ONE = np.array([[1.0, 0.7, 0.4]])
COUNTS = (8, 16, 32, 64, 128)
DETERMINISTIC = {
    "Euler": (Euler(), 1),
    "DDIM": (Ddim(), 1),
    "Heun": (TwoStage(), 2),
    "Heun, exploding chart": (TwoStage(EXPLODING), 2),
    "midpoint": (TwoStage(fraction=0.5), 2),
    "DPM-Solver++ 2M": (Dpm(), 2),
    "UniPC": (UniPc(), 2),
}
STOCHASTIC = {
    "DDIM, eta 1": (Ddim(1.0), 1),
    "DDPM, fixed large": (Ddpm(between=1.0), 1),
    "DPM-Solver++ 2M SDE": (Dpm(eta=1.0), 1),
    "flow SDE": (FlowSde(), 1),
    "EDM churn, Heun": (Churn(churn=2.0), 2),
}


def network_of(mixture: np.ndarray, path: NoisePath) -> Network:
    """What an exact network outputs on the path, for data from the mixture (rows: weight, mean, standard deviation)."""
    weight, mean, std = jnp.asarray(mixture, jnp.float32).T

    def network(x, point):
        point = point.over(x)
        alpha, sigma, x = point.alpha[..., None], point.sigma[..., None], x[..., None]
        variance = (alpha * std) ** 2 + sigma**2
        gap = x - alpha * mean
        share = jax.nn.softmax(jnp.log(weight) - 0.5 * (gap**2 / variance + jnp.log(variance)), -1)
        clean = (share * (mean + alpha * std**2 / variance * gap)).sum(-1)
        noise = (share * gap * sigma / variance).sum(-1)  # (x_t - alpha clean) / sigma, without the division
        a, b = path.output.row(point)
        return a * clean + b * noise

    return network


def quantile(mixture: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """The mixture's quantiles."""
    weight, mean, std = mixture.T
    above = lambda x, p: (weight * scipy.stats.norm.cdf(x, mean, std)).sum() - p
    return np.array([scipy.optimize.brentq(above, -20, 20, args=(p,), xtol=1e-12) for p in probability])


def flow_errors(solver: Solver, counts: Sequence[int] = COUNTS) -> list[float]:
    """Root mean squared distance from the flow's end, of a grid of noises, for each number of steps."""
    path, noise = Rectified(), np.linspace(-2, 2, 41)
    exact = quantile(TWO, scipy.stats.norm.cdf(noise))
    x = jnp.broadcast_to(jnp.asarray(noise, jnp.float32), (len(counts), len(noise)))
    found = solve(network_of(TWO, path), x, t=even(counts), path=path, solver=solver)
    return np.sqrt(np.square(np.asarray(found, np.float64) - exact).mean(1)).tolist()


def law_errors(solver: Solver, counts: Sequence[int] = COUNTS) -> list[float]:
    """Distance of mean and standard deviation from the data's, together, for each number of steps."""
    path, rows, most = Rectified(), len(counts), max(counts)
    x = jnp.zeros((rows, most + 2)).at[:, 1].set(1.0)  # nothing; one of the first noise; one of each step's noise
    noise = lambda i: jnp.broadcast_to(jax.nn.one_hot(i + 2, most + 2), x.shape)
    found = solve(network_of(ONE, path), x, t=even(counts), path=path, solver=solver, noise=noise)
    found = np.asarray(found, np.float64)
    std = np.sqrt(np.square(found[:, 1:] - found[:, :1]).sum(1))
    return np.hypot(found[:, 0] - ONE[0, 1], std - ONE[0, 2]).tolist()


def even(counts: Sequence[int]) -> jax.Array:
    """Even times from 1 to 0, one row for each number of steps."""
    return timetable(np.array(counts), np.ones(len(counts), np.float32), most=max(counts))


def slope(errors: Sequence[float], counts: Sequence[int] = COUNTS) -> float:
    """The order at which errors fall."""
    return float(-np.polyfit(np.log(counts), np.log(errors), 1)[0])


def main() -> None:
    """Measures every sampler; writes the table and the plot."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    results = {}
    for axis, title, solvers, errors in (
        (axes[0], "deterministic: distance from the flow", DETERMINISTIC, flow_errors),
        (axes[1], "stochastic: distance of the law", STOCHASTIC, law_errors),
    ):
        for name, (solver, order) in solvers.items():
            found = errors(solver)
            results[name] = {"order": order, "slope": round(slope(found), 2), "errors": dict(zip(COUNTS, found))}
            axis.loglog(COUNTS, found, marker="o", markersize=3, label=f"{name} ({results[name]['slope']:.1f})")
        axis.set(title=title, xlabel="steps", xticks=COUNTS, xticklabels=COUNTS)
        axis.legend(fontsize=7)
    axes[0].set_ylabel("error")
    figure.savefig(HERE / "orders.png", dpi=80)
    (HERE / "orders.json").write_text(json.dumps(results, indent=1) + "\n")
    for name, result in results.items():
        print(f"{name:24}", result["order"], result["slope"], *(f"{error:.1e}" for error in result["errors"].values()))


if __name__ == "__main__":
    main()
