"""Optimizers: the schedule, what is decayed, what Muon orthogonalises, what is frozen."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import common
from unified_jax.train.optim import optimizer, schedule


def parameters():
    rng = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
    layer = {
        "q_main": {"kernel": draw(2, 8, 2, 4)},
        "o_main": {"kernel": draw(2, 2, 4, 8)},
        "experts": {"kernel": draw(2, 3, 8, 6)},
        "norm": {"scale": draw(2, 8)},
    }
    return {"backbone": {"layer": layer}, "embed_text": {"table": draw(10, 8)}, "heads_image": {"kernel": draw(8, 3)}}


def updates(config, grads=None, number=60):
    """The last of some updates with the same gradient."""
    params = parameters()
    tx = optimizer(config)
    state, update = tx.init(params), jax.jit(tx.update)
    for _ in range(number):
        found, state = update(grads or params, state, params)
    return params, found


def condition(matrix) -> float:
    singular = np.linalg.svd(matrix, compute_uv=False)
    return singular.max() / singular.min()


@pytest.mark.parametrize("steps", [1000, 60, 4, 1])
def test_the_schedule_is_that_of_optax(steps):
    c = common.adamw()
    warmup = min(c.warmup, steps - 1)
    expected = optax.warmup_cosine_decay_schedule(0.0, 1.0, warmup, max(steps, warmup + 1), end_value=c.final)
    found = [schedule(c, step, steps) for step in range(steps + 1)]
    np.testing.assert_allclose(found, [expected(step) for step in range(steps + 1)], atol=1e-6)


def test_muon_makes_the_matrices_of_every_layer_and_head_nearly_orthogonal():
    c = common.muon()
    params, found = updates(c)
    layer, given = (tree["backbone"]["layer"] for tree in (found, params))
    matrices = {
        "q_main": lambda kernel: kernel.transpose(0, 2, 1, 3).reshape(-1, 8, 4),  # a head's queries of width 8
        "o_main": lambda kernel: kernel.reshape(-1, 4, 8),
        "experts": lambda kernel: kernel.reshape(-1, 8, 6),
    }
    for name, heads in matrices.items():
        for matrix, gradient in zip(*(heads(tree[name]["kernel"]) for tree in (layer, given))):
            assert condition(matrix) < min(2.5, condition(gradient)), name
    # Everything else takes Adam's step, about the learning rate for each number.
    for other in (found["embed_text"]["table"], found["heads_image"]["kernel"], layer["norm"]["scale"]):
        np.testing.assert_allclose(np.abs(other), c.learning_rate, rtol=0.2)


def test_decay_pulls_kernels_only():
    zero = jax.tree.map(jnp.zeros_like, parameters())
    c = common.adamw()
    c.weight_decay = 0.1
    params, found = updates(c, zero)
    for path, moved in jax.tree_util.tree_leaves_with_path(found):
        is_kernel = path[-1].key == "kernel"
        assert bool(jnp.any(moved != 0)) == is_kernel, path
    assert float(jnp.vdot(found["heads_image"]["kernel"], params["heads_image"]["kernel"])) < 0


def test_frozen_parts_get_no_update():
    c = common.adamw()
    c.freeze = "backbone/.*"
    _, found = updates(c)
    assert all(not jnp.any(x) for x in jax.tree.leaves(found["backbone"]))
    assert jnp.any(found["embed_text"]["table"])


def test_gradients_are_clipped_together():
    c = common.adamw()
    large = jax.tree.map(lambda x: 1e6 * x, parameters())
    params = parameters()
    tx = optimizer(c)
    _, state = tx.update(large, tx.init(params), params)
    moments = [x for x in jax.tree.leaves(state) if getattr(x, "ndim", 0) > 0]
    assert max(float(jnp.abs(x).max()) for x in moments) <= c.clip


def test_an_unknown_name_is_refused():
    c = common.adamw()
    c.name = "sgd"
    with pytest.raises(ValueError, match="unknown optimizer 'sgd'; choose adamw or muon"):
        optimizer(c)
