"""Masked diffusion: which entries are hidden, and that the loss is of those alone."""

import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.core.noise import VariancePreserving
from unified_jax.data.pack import Layout, Stream, pack
from unified_jax.data.plan import Span
from unified_jax.objectives.learned_variance import squared_and_bound
from unified_jax.objectives.masked_diffusion import MaskedDiffusion

PATH, N = VariancePreserving(), 40
OBJECTIVE = MaskedDiffusion("image", path=PATH)


def test_most_entries_are_hidden_and_only_they_count():
    values = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
    picture = lambda **fields: Span((("image", values),), attend="full", blocks=(1,) * N, closing=4, **fields)
    rows = [[[picture(learn=False), picture()]] for _ in range(8)]
    seq = pack(rows, {"image": Stream("main", (3,), np.float32)}, Layout({"main": 2 * N}, {"image": 2 * N}))
    seq = jax.tree.map(jnp.asarray, seq)

    @jax.jit
    def run(rng):
        shown, target = OBJECTIVE.corrupt(rng, seq)
        draft, prediction = shown.streams["image"].draft, jax.random.normal(rng, (8, 2 * N, 6))
        each = squared_and_bound(PATH, prediction, target, x_t=draft.values, t=draft.time, bound=0.001)
        return shown, target, each, OBJECTIVE.loss(prediction, target, shown.streams["image"])

    shown, target, each, sums = run(jax.random.key(1))
    payload, weight = shown.streams["image"], np.asarray(shown.streams["image"].weight)
    assert not weight[:, :N].any() and not weight[:, -4:].any()  # what is given, and what stands behind the entries
    shares = weight[:, N:-4].mean(1)
    assert (shares >= 0.7).all() and len(set(shares.tolist())) > 3
    np.testing.assert_array_equal(np.asarray(payload.time), weight)
    np.testing.assert_array_equal(np.asarray(shown.lanes["main"].doc) == 0, weight > 0)
    np.testing.assert_array_equal(np.asarray(payload.values), np.asarray(target.clean))  # what is shown stays clean
    np.testing.assert_allclose(sums.total / sums.count, np.asarray(each)[weight > 0].mean(), rtol=1e-5)
    at = PATH.at(payload.draft.time).over(payload.values)
    want = at.alpha * payload.values + at.sigma * target.output
    np.testing.assert_allclose(payload.draft.values, want, atol=1e-5)
