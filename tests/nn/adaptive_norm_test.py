"""Adaptive norms and what a block does with them, against the equations written out."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.core.sequence import Slots, join
from unified_jax.nn.adaptive_norm import AdaNorm, SharedModulation, TableNorm
from unified_jax.nn.block import Block, Context, Side
from unified_jax.nn.cross_attention import CrossAttention
from unified_jax.nn.dual_block import DualBlock
from unified_jax.nn.mlp import GatedMlp
from unified_jax.nn.parallel_block import ParallelBlock
from unified_jax.nn.rope import NoRope

WIDTH, TOLD = 8, 5
SIZES = {"image": 4, "text": 3}
RNG = np.random.default_rng(0)
XS = {lane: jnp.asarray(RNG.normal(size=(2, n, WIDTH)), jnp.float32) for lane, n in SIZES.items()}
CONDITION = jnp.asarray(RNG.normal(size=(2, 1, TOLD)), jnp.float32)
ROUTE = {"image": "image", "text": "text"}
block = partial(Block, num_heads=2, head_dim=4, mlp=partial(GatedMlp, 12), pre_norm=AdaNorm)


def slots(batch: int, length: int, real: int | None = None) -> Slots:
    index = jnp.broadcast_to(jnp.arange(length), (batch, length))
    doc = (index < (length if real is None else real)).astype(jnp.int32)
    return Slots(doc, jnp.zeros_like(doc), jnp.zeros_like(doc, bool), index[..., None])


def side(lanes, **options) -> Side:
    both = join({lane: slots(2, XS[lane].shape[1]) for lane in lanes})
    told = {place: {lane: CONDITION for lane in lanes} for place in ("attn", "mlp")}
    return Side(NoRope(4)(both.pos), both, **{"told": told, **options})


def perturbed(params, seed: int = 1):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: x + 0.3 * rng.normal(size=x.shape).astype(np.float32), params)


def standardised(x):
    x = np.asarray(x, np.float64)
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)


def silu(x):
    return x / (1 + np.exp(-np.asarray(x, np.float64)))


@pytest.fixture(scope="module")
def made():
    """A block of two lanes: parameters, output."""
    module = block(route=ROUTE)
    params = perturbed(module.init(jax.random.key(0), XS, None, side(XS))["params"])
    return module, params, module.apply({"params": params}, XS, None, side(XS))[0]


def test_scale_shift_and_gate_are_affine_in_the_condition():
    module = AdaNorm(parts=("scale", "gate", "shift"), squash=jnp.tanh)
    params = perturbed(module.init(jax.random.key(0), XS["image"], CONDITION)["params"])
    found = module.apply({"params": params}, XS["image"], CONDITION)
    kernel, bias = params["modulation"]["kernel"], params["modulation"]["bias"]
    scale, gate, shift = np.moveaxis(np.einsum("bue,epd->bupd", silu(CONDITION), kernel) + bias, 2, 0)
    np.testing.assert_allclose(found.states, standardised(XS["image"]) * (1 + scale) + shift, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.gate, np.tanh(gate), rtol=1e-5)


def test_a_table_is_added_to_what_all_norms_are_told():
    shared = SharedModulation()
    condition = jnp.asarray(RNG.normal(size=(2, 1, WIDTH)), jnp.float32)
    params = perturbed(shared.init(jax.random.key(0), condition, ("attn", "mlp"))["params"])
    told = shared.apply({"params": params}, condition, ("attn", "mlp"))
    module = TableNorm()
    own = module.init(jax.random.key(1), XS["image"], told["mlp"])["params"]
    found = module.apply({"params": own}, XS["image"], told["mlp"])
    kernel, bias = params["modulation"]["kernel"][:, 1], params["modulation"]["bias"][1]
    values = (silu(condition) @ kernel + bias).reshape(2, 1, 3, WIDTH) + own["table"]
    shift, scale, gate = np.moveaxis(values, 2, 0)
    np.testing.assert_allclose(found.states, standardised(XS["image"]) * (1 + scale) + shift, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.gate, gate, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [Block, ParallelBlock])
def test_a_fresh_block_changes_nothing(kind):
    module = partial(kind, **block.keywords)(route=ROUTE)
    out, _ = module.init_with_output(jax.random.key(0), XS, None, side(XS))[0]
    jax.tree.map(np.testing.assert_array_equal, out, XS)


def test_each_lane_is_told_its_own_condition(made):
    module, params, before = made
    given = side(XS)
    told = {place: {**lanes, "text": 2 * CONDITION} for place, lanes in given.told.items()}
    after, _ = module.apply({"params": params}, XS, None, given.replace(told={**given.told, "mlp": told["mlp"]}))
    np.testing.assert_array_equal(after["image"], before["image"])  # no attention after the text's mlp
    assert jnp.abs(after["text"] - before["text"]).max() > 1e-3


def test_a_gate_at_zero_leaves_only_the_other_piece():
    module = block(route={"image": "image"})
    xs = {"image": XS["image"]}
    params = module.init(jax.random.key(0), xs, None, side(xs))["params"]
    bias = params["mlp_norm_image"]["modulation"]["bias"].at[2].set(1.0)
    params = {**params, "mlp_norm_image": {"modulation": {**params["mlp_norm_image"]["modulation"], "bias": bias}}}
    out, _ = module.apply({"params": params}, xs, None, side(xs))
    mlp = GatedMlp(12).apply({"params": params["mlp_image"]}, jnp.asarray(standardised(xs["image"]), jnp.float32))
    np.testing.assert_allclose(out["image"], xs["image"] + mlp, rtol=1e-4, atol=1e-5)


def test_a_lane_that_ends_is_read_and_stays_as_it_is(made):
    _, params, before = made
    ends = block(route=ROUTE, ends=("text",))
    shapes = jax.eval_shape(lambda: ends.init(jax.random.key(0), XS, None, side(XS))["params"])
    assert set(params) - set(shapes) == {"o_text", "mlp_norm_text", "mlp_text"}
    out, _ = ends.apply({"params": {name: params[name] for name in shapes}}, XS, None, side(XS))
    np.testing.assert_array_equal(out["text"], XS["text"])
    np.testing.assert_allclose(out["image"], before["image"], atol=1e-6)


def test_a_lane_alone_also_attends_within_itself(made):
    """With the joint attention's weights in both, where the joint one has only that lane, it is added twice."""
    xs, given = {"image": XS["image"]}, side({"image": XS["image"]})
    one = block(route={"image": "image"})
    both = partial(DualBlock, **block.keywords)(route={"image": "image"}, alone=("image",))
    params = {name: x for name, x in made[1].items() if name.endswith("image") and "mlp" not in name}
    quiet = jax.tree.map(jnp.zeros_like, one.init(jax.random.key(0), xs, None, given)["params"])
    params = {**quiet, **params}
    own = {
        name.replace("_image", "_own_image"): x for name, x in params.items() if name[:2] in ("q_", "k_", "v_", "o_")
    }
    once, _ = one.apply({"params": params}, xs, None, given)
    doubled = {**params, **own, "own_norm_image": params["attn_norm_image"]}
    twice, _ = both.apply({"params": doubled}, xs, None, given)
    added = once["image"] - xs["image"]
    np.testing.assert_allclose(twice["image"] - xs["image"], 2 * added, atol=1e-5)


def test_a_lane_alone_does_not_see_the_other():
    module = partial(DualBlock, **block.keywords)(route=ROUTE, alone=("image",))
    params = perturbed(module.init(jax.random.key(0), XS, None, side(XS))["params"])
    silent = {name: jnp.zeros_like(x["kernel"]) for name, x in params.items() if name in ("o_image", "o_text")}
    params = {**params, **{name: {"kernel": kernel} for name, kernel in silent.items()}}
    changed = {**XS, "text": XS["text"] + 1.0}
    one, other = (module.apply({"params": params}, xs, None, side(XS))[0]["image"] for xs in (XS, changed))
    np.testing.assert_array_equal(one, other)


def test_cross_attention_reads_the_real_slots_of_its_context():
    module = block(route={"image": "image"}, cross=partial(CrossAttention, 2, 4), cross_norm=None)
    xs = {"image": XS["image"]}
    states = jnp.asarray(RNG.normal(size=(2, 5, 7)), jnp.float32)
    seen = jnp.broadcast_to(jnp.arange(5) < 3, (2, 4, 5))
    given = side(xs, context=Context(states, slots(2, 5, real=3)), seen=seen)
    params = module.init(jax.random.key(0), xs, None, given)["params"]  # gates are zero: only cross-attention adds
    out, _ = module.apply({"params": params}, xs, None, given)
    want = CrossAttention(2, 4).apply({"params": params["cross_image"]}, xs["image"], states[:, :3])
    np.testing.assert_allclose(out["image"] - xs["image"], want, atol=1e-5)
