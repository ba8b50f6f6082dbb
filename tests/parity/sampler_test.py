"""Every sampler against its diffusers scheduler: one toy network, the same noise, whole trajectories of 1 to 50 steps.

The step counts are rows of one batch, so each row also shows that its neighbours' counts do not matter to it.
"""

import diffusers
import jax.numpy as jnp
import numpy as np
import pytest
from difference import worst_relative
from samplers import CASES, COUNTS, SHAPE, even, noises, toy, twice

from unified_jax.core.noise import over, shift, timetable
from unified_jax.sampling.solvers.solve import trajectory

TOLERANCE = 1e-5
VERSION = f"diffusers {diffusers.__version__}"


def start(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)


def padded(rows: list[np.ndarray]) -> jnp.ndarray:
    """Rows of different lengths side by side [N B ...], each going on with its last entry."""
    longest = max(map(len, rows))
    return jnp.stack([np.concatenate([row, np.repeat(row[-1:], longest - len(row), 0)]) for row in rows], 1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_trajectories_agree_at_every_step(case, record_parity):
    counts = case.counts
    found = trajectory(
        lambda x, point: case.network(x, over(point.t, x), jnp),
        jnp.stack([start(n) for n in counts]),
        t=padded([case.times(n) for n in counts]),
        path=case.path,
        solver=case.solver,
        noise=padded([noises(n, seed=n) for n in counts]).__getitem__,
    ).x
    worst = 0.0
    for row, n in enumerate(counts):
        worst = max(worst, worst_relative(np.asarray(found[:n, row]), case.expected(n, start(n), seed=n)))
        np.testing.assert_array_equal(found[n:, row], np.broadcast_to(found[n - 1, row], found[n:, row].shape))
    record_parity(
        f"sampler:{case.name}",
        reference=VERSION,
        what=f"x after every step of {', '.join(map(str, counts))} steps",
        worst_relative=worst,
        tolerance=TOLERANCE,
    )
    assert worst <= TOLERANCE


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_the_flow_timetable_is_shifted_once_and_their_default_twice(factor, record_parity):
    """diffusers#13243: by default its flow scheduler shifts the already shifted last level again; given the unshifted
    times, it shifts them once. The truth is the formula by hand.
    """
    scheduler, worst = diffusers.FlowMatchEulerDiscreteScheduler(shift=factor), 0.0
    ours = np.asarray(timetable(np.array(COUNTS), np.full(len(COUNTS), factor, np.float32), most=max(COUNTS)))
    for row, n in enumerate(COUNTS):
        by_hand = np.array([factor * (1 - i / n) / (1 + (factor - 1) * (1 - i / n)) for i in range(n + 1)])
        scheduler.set_timesteps(sigmas=even(n))
        worst = max(worst, *(worst_relative(x, by_hand) for x in (ours[: n + 1, row], scheduler.sigmas.numpy())))
        scheduler.set_timesteps(n)
        np.testing.assert_allclose(scheduler.sigmas, twice(factor)(n), atol=1e-6)
        if n > 1:
            once = np.append(shift(np.linspace(1, 1e-3, n), factor), 0)
            assert np.allclose(scheduler.sigmas, once, atol=1e-6) == (factor == 1.0)
    record_parity(
        f"sampler:flow timetable, shift {factor:g}",
        reference=f"the formula by hand; {VERSION} given unshifted times",
        what=f"times of {', '.join(map(str, COUNTS))} steps",
        worst_relative=worst,
        tolerance=1e-6,
    )
    assert worst <= 1e-6


def test_one_step_of_edm_is_the_formula_which_theirs_rounds_at_the_size_of_the_noise(record_parity):
    """From sigma 80 to 0 in one step is the denoised x, which diffusers computes as x - 80 (x - denoised) / 80: its
    float32 x of size 80 leaves 5e-6 in a result of size 1. Ours has unit variance throughout.
    """
    case, seen = {case.name: case for case in CASES}["edm euler"], start(1)
    sigma, std = 80.0, 0.5
    x, output = seen * np.hypot(sigma, std), toy(seen.astype(np.float64), 1.0, np)
    by_hand = (std**2 * x + sigma * std * np.hypot(sigma, std) * output) / (sigma**2 + std**2) / std
    network = lambda x, point: toy(x, over(point.t, x), jnp)
    ours = trajectory(
        network,
        jnp.asarray(seen),
        t=jnp.asarray(case.times(1)),
        path=case.path,
        solver=case.solver,
        noise=lambda i: jnp.zeros(SHAPE),
    ).x[0]
    worst = worst_relative(np.asarray(ours), by_hand)
    record_parity(
        "sampler:edm euler, one step",
        reference="the formula by hand, float64",
        what="x after the step",
        worst_relative=worst,
        tolerance=TOLERANCE,
    )
    assert worst <= TOLERANCE
    assert worst_relative(case.expected(1, seen, seed=1)[0], by_hand) <= 5 * TOLERANCE
