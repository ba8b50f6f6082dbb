"""How fast samplers converge where the answer is known: data from a mixture of Gaussians on a line.

  PYTHONPATH=. python experiments/samplers/orders.py

writes orders.json and orders.png beside this file, in about a minute. The best estimate of the data given x_t is then a
closed form, so a sampler's error is its own. A deterministic sampler must follow the flow, which keeps quantiles; the
law that a stochastic one draws from is computed without drawing: for one Gaussian every step is linear in x and in its
noise, so one run for each noise gives the exact mean and variance of what comes out.
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
import scipy.stats

from unified_jax.core.noise import Edm, Rectified
from unified_jax.core.noise.path import Path as NoisePath
from unified_jax.core.noise.timetables import karras
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


def even(path: NoisePath, steps: int) -> np.ndarray:
    """Even times from 1 to 0."""
    return np.linspace(1, 0, steps + 1)


@dataclasses.dataclass(frozen=True)
class Run:
    """A solver, the order of its method, and the path and times that such solvers are used on."""

    solver: Solver
    order: int
    path: NoisePath = Rectified()
    times: Callable[[NoisePath, int], np.ndarray] = even


EDM = Edm(data_std=0.9)
DETERMINISTIC = {
    "Euler": Run(Euler(), 1),
    "DDIM": Run(Ddim(), 1),
    "Heun": Run(TwoStage(), 2),
    "midpoint": Run(TwoStage(fraction=0.5), 2),
    "Heun, EDM": Run(TwoStage(EXPLODING), 2, EDM, karras),
    "DPM-Solver++ 2M, EDM": Run(Dpm(), 2, EDM, karras),
    "UniPC, EDM": Run(UniPc(), 3, EDM, karras),
}
STOCHASTIC = {
    "DDIM, eta 1": Run(Ddim(1.0), 1),
    "DDPM, fixed large": Run(Ddpm(between=1.0), 1),
    "flow SDE": Run(FlowSde(), 1),
    "DPM-Solver++ 2M SDE, EDM": Run(Dpm(eta=1.0), 1, EDM, karras),
    "Heun with churn, EDM": Run(Churn(churn=2.0), 2, EDM, karras),
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


def noised(mixture: np.ndarray, path: NoisePath, t: float) -> np.ndarray:
    """The mixture that x_t follows."""
    point = path.at(jnp.float32(t))
    weight, mean, std = mixture.T
    return np.stack([weight, float(point.alpha) * mean, np.hypot(float(point.alpha) * std, float(point.sigma))], 1)


def flow_errors(run: Run, counts: Sequence[int] = COUNTS) -> list[float]:
    """Root mean squared distance from the flow's end, of a grid of quantiles, for each number of steps."""
    probability = scipy.stats.norm.cdf(np.linspace(-2, 2, 41))
    start, exact = (quantile(noised(TWO, run.path, t), probability) for t in (1.0, 0.0))
    x = jnp.broadcast_to(jnp.asarray(start, jnp.float32), (len(counts), len(start)))
    found = solve(network_of(TWO, run.path), x, t=_times(run, counts), path=run.path, solver=run.solver)
    return np.sqrt(np.square(np.asarray(found, np.float64) - exact).mean(1)).tolist()


def law_errors(run: Run, counts: Sequence[int] = COUNTS) -> list[float]:
    """Distance of mean and standard deviation from the data's, together, for each number of steps."""
    (_, mean, std), (_, first_mean, first_std) = (noised(ONE, run.path, t)[0] for t in (0.0, 1.0))
    rows, most = len(counts), max(counts)
    # The mean alone; with one standard deviation of the start; with one of each step's noise.
    x = jnp.full((rows, most + 2), first_mean, jnp.float32).at[:, 1].add(first_std)
    noise = lambda i: jnp.broadcast_to(jax.nn.one_hot(i + 2, most + 2), x.shape)
    t = _times(run, counts)
    found = solve(network_of(ONE, run.path), x, t=t, path=run.path, solver=run.solver, noise=noise)
    found = np.asarray(found, np.float64)
    found_std = np.sqrt(np.square(found[:, 1:] - found[:, :1]).sum(1))
    return np.hypot(found[:, 0] - mean, found_std - std).tolist()


def slope(errors: Sequence[float], counts: Sequence[int] = COUNTS) -> float:
    """The order at which errors fall."""
    return float(-np.polyfit(np.log(counts), np.log(errors), 1)[0])


def _times(run: Run, counts: Sequence[int]) -> jax.Array:
    """The times of each number of steps, side by side; those of fewer steps stay at 0."""
    rows = [np.asarray(run.times(run.path, n)) for n in counts]
    return jnp.stack([jnp.asarray(np.pad(row, (0, max(counts) + 1 - len(row))), jnp.float32) for row in rows], 1)


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
        for name, run in solvers.items():
            found = errors(run)
            results[name] = {"order": run.order, "slope": round(slope(found), 2), "errors": dict(zip(COUNTS, found))}
            axis.loglog(COUNTS, found, marker="o", markersize=3, label=f"{name} ({results[name]['slope']:.1f})")
        axis.set(title=title, xlabel="steps", xticks=COUNTS, xticklabels=COUNTS)
        axis.legend(fontsize=7)
    axes[0].set_ylabel("error")
    figure.savefig(HERE / "orders.png", dpi=80)
    (HERE / "orders.json").write_text(json.dumps(results, indent=1) + "\n")
    for name, result in results.items():
        print(f"{name:26}", result["order"], result["slope"], *(f"{error:.1e}" for error in result["errors"].values()))


if __name__ == "__main__":
    main()
