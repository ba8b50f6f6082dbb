"""Pieces on video: by loops over frames, in chunks as whole, and blind to what comes later."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.nn.causal_conv import CausalConv, DoubleFrames, HalveFrames, each_frame
from unified_jax.nn.conv import Conv

SHAPE = (2, 9, 4, 3, 2)


@pytest.fixture
def video(getkey) -> jax.Array:
    return jax.random.normal(getkey(), SHAPE)


def built(piece: nn.Module, video: jax.Array) -> dict:
    """Parameters with biases off zero."""
    params = piece.init(jax.random.key(1), video)["params"]
    return jax.tree.map(lambda x: x + 0.1 * jax.random.normal(jax.random.key(2), x.shape), params)


def conv_at(params: dict, frames: list) -> jax.Array:
    """Three frames, None for zeros, to one: a convolution of pictures for each."""
    seen = [(kernel, x) for kernel, x in zip(params["kernel"], frames, strict=True) if x is not None]
    conv = Conv(params["bias"].size, params["kernel"].shape[1], use_bias=False)
    return params["bias"] + sum(conv.apply({"params": {"kernel": kernel}}, x) for kernel, x in seen)


def test_a_convolution_sees_two_frames_before_and_zeros_before_the_first(video):
    piece = CausalConv(3)
    params = built(piece, video)
    frames = [None, None, *jnp.moveaxis(video, 1, 0)]
    want = jnp.stack([conv_at(params, frames[f : f + 3]) for f in range(SHAPE[1])], 1)
    np.testing.assert_allclose(piece.apply({"params": params}, video), want, atol=1e-5)


def test_time_is_halved_after_the_first_frame(video):
    params = built(HalveFrames(), video)
    frames = list(jnp.moveaxis(video, 1, 0))
    want = [frames[0], *(conv_at(params["conv"], frames[f : f + 3]) for f in range(0, SHAPE[1] - 2, 2))]
    np.testing.assert_allclose(HalveFrames().apply({"params": params}, video), jnp.stack(want, 1), atol=1e-5)


def test_time_is_doubled_after_the_first_frame_which_nothing_after_it_sees(video):
    params = built(DoubleFrames(), video)
    frames = [None, None, *jnp.moveaxis(video, 1, 0)[1:]]
    pairs = [jnp.split(conv_at(params["conv"], frames[f : f + 3]), 2, -1) for f in range(SHAPE[1] - 1)]
    want = [video[:, 0], *(frame for pair in pairs for frame in pair)]
    np.testing.assert_allclose(DoubleFrames().apply({"params": params}, video), jnp.stack(want, 1), atol=1e-5)


@pytest.mark.parametrize("piece", [CausalConv(3), HalveFrames(), DoubleFrames()], ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("sizes", [[1, 4, 4], [1, 2, 6], [3, 2, 2, 2], [9]])
def test_chunks_give_what_the_whole_gives(piece, sizes, video):
    params = built(piece, video)
    past, made, start = {}, [], 0
    for size in sizes:
        chunk = video[:, start : start + size]
        y, past = piece.apply({"params": params, **past}, chunk, mutable=["past"])
        made.append(y)
        start += size
    np.testing.assert_allclose(jnp.concatenate(made, 1), piece.apply({"params": params}, video), atol=1e-5)


@pytest.mark.parametrize("piece", [CausalConv(3), HalveFrames(), DoubleFrames()], ids=lambda x: type(x).__name__)
def test_no_frame_sees_a_later_one(piece, video):
    params = built(piece, video)
    run = lambda video: piece.apply({"params": params}, video)
    changed = run(video.at[:, 5:].set(0))
    same = np.asarray(jnp.all(changed == run(video), (0, 2, 3, 4)))
    kept = {CausalConv: 5, HalveFrames: 3, DoubleFrames: 9}[type(piece)]
    assert same[:kept].all() and not same[kept:].any()


def test_a_piece_on_pictures_is_applied_to_every_frame_by_itself(video):
    conv = Conv(5, stride=2)
    params = conv.init(jax.random.key(0), video[:, 0])
    got = each_frame(lambda x: conv.apply(params, x), video)
    for f in range(SHAPE[1]):
        np.testing.assert_allclose(got[:, f], conv.apply(params, video[:, f]), atol=1e-6)
