"""Published discrete codecs against their references: the same random weights, float32, through the published layout.

Every case: codes of whole pictures of two sizes, what is decoded from them, and the folder written back and read by the
reference again. Published sizes are compared by name and shape alone.
"""

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
import torch
from codecs_table import CASES, CLIPS, Case
from difference import worst_relative

from unified_jax.codecs.discrete_clip import EPSILON
from unified_jax.codecs.network import NetworkCodec
from unified_jax.interop import convert
from unified_jax.models.pretrained import build_component, from_pretrained, save_pretrained
from unified_jax.models.published import Component

TOLERANCE = 1e-4
SIZES = ((16, 16), (16, 24))


@dataclasses.dataclass(frozen=True)
class Pair:
    """One set of weights on both sides."""

    case: Case
    reference: torch.nn.Module
    component: Component
    params: Any

    def run(self, method: str, x: np.ndarray) -> np.ndarray:
        return jax.tree.map(np.asarray, _apply(self.component, method, self.params, x))


@partial(jax.jit, static_argnums=(0, 1))
def _apply(component: Component, method: str, params: Any, x: jax.Array) -> Any:
    return component.apply(params, x, method=method)


def load(case: Case, folder) -> Pair:
    reference = case.reference()
    reference.save_pretrained(folder)
    return Pair(case, reference, *from_pretrained(folder))


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def pair(request, tmp_path_factory) -> Pair:
    return load(request.param, tmp_path_factory.mktemp(request.param.name))


@pytest.fixture(scope="module", params=CLIPS, ids=lambda case: case.name)
def clip_pair(request, tmp_path_factory) -> Pair:
    return load(request.param, tmp_path_factory.mktemp(request.param.name))


def pictures(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (*shape, 3)).astype(np.float32)


def without_gradient(run: Callable, *args) -> np.ndarray:
    with torch.no_grad():
        return run(*args)


def test_codes_are_the_same_and_decode_to_the_same_pixels(pair, record_parity):
    case, worst = pair.case, 0.0
    for size in SIZES:
        pixels = pictures(2, *size)
        codes = without_gradient(case.encode, pair.reference, pixels)
        assert len(np.unique(codes)) > 5, "codes that hardly vary show little"
        np.testing.assert_array_equal(pair.run("encode", pixels), codes)
        if case.decode is not None:
            want = without_gradient(case.decode, pair.reference, codes)
            worst = max(worst, worst_relative(pair.run("decode", codes), want))
            assert worst_relative(pair.run("decode", codes[::-1].copy()), want) > 0.01  # another picture, other pixels
        else:
            with pytest.raises(ValueError, match="without its decoder"):
                pair.run("decode", codes)
            want = without_gradient(features_after_codes, pair.reference, pixels)
            worst = max(worst, worst_relative(pair.run("__call__", pixels)[0], want))
    record(record_parity, case, worst, what=f"codes and pixels of 2 pictures of {SIZES[0]} and {SIZES[1]}")
    assert worst <= TOLERANCE


def features_after_codes(reference: torch.nn.Module, pixels: np.ndarray) -> np.ndarray:
    found = reference.encode(torch.tensor(pixels).movedim(-1, 1)).quantized_last_hidden_state
    return reference.post_quant_conv(found).movedim(1, -1).numpy()


def test_clips_have_the_same_codes_and_frames(clip_pair, record_parity):
    case, worst = clip_pair.case, 0.0
    assert clip_pair.reference.decoder.time_res_stack[0].norm1.eps == EPSILON  # too small to show in the pixels
    for frames, size in ((4, SIZES[0]), (8, SIZES[1])):
        pixels = pictures(2, frames, *size)
        codes = without_gradient(case.encode, clip_pair.reference, pixels)
        assert len(np.unique(codes)) > 5
        np.testing.assert_array_equal(clip_pair.run("encode_clip", pixels), codes)
        want = without_gradient(case.decode, clip_pair.reference, codes)
        worst = max(worst, worst_relative(clip_pair.run("decode_clip", codes), want))
    record(record_parity, case, worst, what="codes and frames of 2 clips of 4 x 16 x 16 and 8 x 16 x 24", of="-clips")
    assert worst <= TOLERANCE


def test_clips_that_are_not_whole_codes_are_refused(clip_pair):
    with pytest.raises(ValueError, match="6 frames.*multiple of 4"):
        clip_pair.run("encode_clip", pictures(1, 6, 16, 16))


def test_written_back_the_reference_reads_the_same_codec(pair, tmp_path):
    save_pretrained(tmp_path, pair.component, pair.params)
    again = type(pair.reference).from_pretrained(tmp_path).eval()
    pixels = pictures(1, *SIZES[1])
    codes = without_gradient(pair.case.encode, pair.reference, pixels)
    np.testing.assert_array_equal(without_gradient(pair.case.encode, again, pixels), codes)
    if pair.case.decode is not None:
        want = without_gradient(pair.case.decode, pair.reference, codes)
        np.testing.assert_array_equal(without_gradient(pair.case.decode, again, codes), want)


def test_it_serves_as_the_codec_of_a_family(pair):
    codec = NetworkCodec(pair.component.module)
    pixels = pictures(3, *SIZES[1])
    codes = codec.encode(pair.params, pixels)
    assert codes.shape == (3, *codec.grid(*SIZES[1]))
    np.testing.assert_array_equal(codes, without_gradient(pair.case.encode, pair.reference, pixels))
    with pytest.raises(ValueError, match="codes must lie in 0 to"):
        codec.decode(pair.params, np.full((1, 2, 2), codec.module.codes))
    with pytest.raises(ValueError, match="17x16 pixels"):
        codec.encode(pair.params, pictures(1, 16, 17))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_published_sizes_have_the_published_names_and_shapes(case):
    with torch.device("meta"):
        reference = case.full()
    component = build_component(json.loads(config_json(reference)))
    ours = convert.export(component.shapes(), rules=component.published.rules)
    theirs = {name: tuple(x.shape) for name, x in reference.state_dict().items() if "num_batches" not in name}
    assert {name: tuple(x.shape) for name, x in ours.items()} == theirs


def config_json(reference: torch.nn.Module) -> str:
    config = reference.config
    return config.to_json_string(use_diff=False) if hasattr(config, "to_diff_dict") else reference.to_json_string()


def record(record_parity, case: Case, worst: float, *, what: str, of: str = "") -> None:
    record_parity(
        f"codec:{case.name}{of}", reference=case.version, what=what, worst_relative=worst, tolerance=TOLERANCE
    )
