"""What stands in the place of a stack: stages, a stack that reads a lane, long skips."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.core.cache import commit, empty
from unified_jax.core.sequence import Slots
from unified_jax.nn.block import Block, Side
from unified_jax.nn.cross_attention import CrossAttention
from unified_jax.nn.long_skips import LongSkips
from unified_jax.nn.mlp import GatedMlp
from unified_jax.nn.reading import Reading
from unified_jax.nn.rope import Rope
from unified_jax.nn.stack import Stack
from unified_jax.nn.stages import Stages

WIDTH, LENGTH = 8, 5
ROPE = Rope(4)
RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(2, LENGTH, WIDTH)), jnp.float32)
INDEX = jnp.broadcast_to(jnp.arange(LENGTH), (2, LENGTH))
SLOTS = Slots(jnp.ones_like(INDEX), INDEX, jnp.zeros_like(INDEX, bool), INDEX[..., None])
block = partial(Block, num_heads=2, head_dim=4, mlp=partial(GatedMlp, 12), route={"main": "main"})


def params_of(module, *args, **kwargs):
    made = jax.jit(lambda: module.init(jax.random.key(0), *args, **kwargs)["params"])()
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda x: x + 0.2 * rng.normal(size=x.shape).astype(np.float32), made)


def part(start: int, stop: int) -> Slots:
    return jax.tree.map(lambda x: x[:, start:stop], SLOTS)


def test_stages_are_one_stack_in_parts_with_a_cache_too():
    whole, stages = Stack(block, 3, ROPE, norm=None), Stages(tuple(Stack(block, n, ROPE, norm=None) for n in (1, 2)))
    params = params_of(whole, {"main": X}, slots=SLOTS)
    cut = lambda part: {"layer": jax.tree.map(lambda x: x[part], params["layer"])}
    own = {"stages_0": cut(slice(1)), "stages_1": cut(slice(1, None))}
    want, kv = whole.apply({"params": params}, {"main": X}, slots=SLOTS)
    got, own_kv = stages.apply({"params": own}, {"main": X}, slots=SLOTS)
    np.testing.assert_allclose(got["main"], want["main"], atol=1e-6)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), own_kv, kv)

    _, first = stages.apply({"params": own}, {"main": X[:, :3]}, slots=part(0, 3))
    cache = commit(empty(first, 6, 1), first, part(0, 3))
    unrolled = Stages(tuple(stage.clone(unroll=2) for stage in stages.stages))
    assert stages.apart(own, cache) == (own, cache)  # one of them is a loop
    own, cache = unrolled.apart(own, cache)
    rest, _ = stages.apply({"params": own}, {"main": X[:, 3:]}, slots=part(3, 5), cache=cache)
    np.testing.assert_allclose(rest["main"], want["main"][:, 3:], atol=1e-5)


def test_later_layers_read_the_states_of_the_earlier_ones():
    module = LongSkips(block, 5, ROPE, norm=None)
    params = params_of(module, {"main": X}, slots=SLOTS)
    got, kv = module.apply({"params": params}, {"main": X}, slots=SLOTS)
    side, layer = Side(ROPE(SLOTS.pos), SLOTS), block(parent=None)
    run = lambda params, x: layer.apply({"params": params}, {"main": x}, None, side)[0]["main"]
    at = lambda name, i: jax.tree.map(lambda x: x[i], params[name])
    first = run(at("down", 0), X)
    second = run(at("down", 1), first)
    x = run(at("middle", 0), second)
    for i, kept in enumerate((second, first)):
        join = at("up", i)["join_main"]
        x = run(at("up", i)["layer"], jnp.concatenate([x, kept], -1) @ join["kernel"] + join["bias"])
    np.testing.assert_allclose(got["main"], x, atol=1e-5)
    assert kv[0].shape[0] == 5


def test_an_even_depth_has_no_middle():
    with pytest.raises(ValueError, match="an odd depth, not 4"):
        jax.eval_shape(lambda: LongSkips(block, 4, ROPE).init(jax.random.key(0), {"main": X}, slots=SLOTS))


def test_what_is_read_changes_the_others_and_not_itself():
    """The context's slots lie behind the others' in the joined row, and two of them are empty."""
    reader = partial(block, cross=partial(CrossAttention, 2, 4))
    module = Reading(Stack(reader, 2, ROPE, norm=None), "text")
    text = jnp.asarray(RNG.normal(size=(2, 4, 6)), jnp.float32)
    doc = jnp.broadcast_to(jnp.asarray([1] * LENGTH + [1, 1, 0, 0]), (2, LENGTH + 4))
    same = jnp.zeros_like(doc)
    slots = Slots(doc, same, same.astype(bool), same[..., None])
    given = lambda text: {"main": X, "text": text}
    params = params_of(module, given(text), slots=slots)
    run = jax.jit(lambda text: module.apply({"params": params}, given(text), slots=slots)[0])
    assert set(run(text)) == {"main"}
    np.testing.assert_array_equal(run(text)["main"], run(text.at[:, 2:].add(1.0))["main"])
    assert jnp.abs(run(text)["main"] - run(text.at[:, 1].add(1.0))["main"]).max() > 1e-3
