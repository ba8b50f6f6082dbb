"""Published continuous codecs against diffusers: the same random weights, float32, through the published layout."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
import torch
from continuous_codecs import CASES, Case, decode, encode
from difference import worst_relative

from unified_jax.codecs.posterior import Posterior
from unified_jax.interop import convert
from unified_jax.models.pretrained import build_component, from_pretrained, save_pretrained
from unified_jax.models.published import Component

TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class Pair:
    """One set of weights on both sides. encode, decode: numpy to numpy, compiled once for each shape."""

    case: Case
    reference: torch.nn.Module
    component: Component
    params: Any
    encode: Callable[[np.ndarray], np.ndarray]
    decode: Callable[[np.ndarray], np.ndarray]

    def pixels(self, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).uniform(-1, 1, (*shape, 3)).astype(np.float32)

    def latents(self, moments: np.ndarray) -> np.ndarray:
        """Random latents of the shape that these moments tell of."""
        channels = moments.shape[-1] // self.case.parts
        return np.random.default_rng(1).normal(size=(*moments.shape[:-1], channels)).astype(np.float32)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def pair(request, tmp_path_factory) -> Pair:
    folder = tmp_path_factory.mktemp(request.param.name)
    reference = request.param.reference()
    reference.save_pretrained(folder)
    component, params = from_pretrained(folder)
    run = lambda method: jax.jit(lambda params, x: component.apply(params, x, method=method))
    encoder, decoder = run("encode"), run("decode")
    return Pair(
        request.param,
        reference,
        component,
        params,
        lambda pixels: _flat(encoder(params, pixels)),
        lambda latents: np.asarray(decoder(params, latents)),
    )


def test_encoding_and_decoding_agree_everywhere(pair, record_parity):
    worst = {"encode": 0.0, "decode": 0.0}
    for shape in pair.case.shapes:
        moments = encode(pair.reference, pair.pixels(shape))
        worst["encode"] = max(worst["encode"], worst_relative(pair.encode(pair.pixels(shape)), moments))
        latents = pair.latents(moments)
        pixels = decode(pair.reference, latents)
        assert np.mean(np.abs(pixels) == 1) < 0.3, "what is clipped shows little"
        worst["decode"] = max(worst["decode"], worst_relative(pair.decode(latents), pixels))
    record_parity(
        f"codec:{pair.case.name}",
        reference=pair.case.version,
        what=f"encode and decode, pixels of {' and '.join('x'.join(map(str, shape)) for shape in pair.case.shapes)}",
        worst_relative=max(worst.values()),
        tolerance=TOLERANCE,
        **{f"worst_{way}": value for way, value in worst.items()},
    )
    assert max(worst.values()) <= TOLERANCE


def test_another_picture_has_other_latents(pair):
    shape = pair.case.shapes[0]
    one, other = (pair.encode(pair.pixels(shape, seed)) for seed in (0, 1))
    assert worst_relative(one, other) > 0.1


def test_written_back_the_reference_reads_the_same_codec(pair, tmp_path):
    save_pretrained(tmp_path, pair.component, pair.params)
    again = type(pair.reference).from_pretrained(tmp_path).eval()
    pixels = pair.pixels(pair.case.shapes[0])
    moments = encode(pair.reference, pixels)
    np.testing.assert_array_equal(encode(again, pixels), moments)
    latents = pair.latents(moments)
    np.testing.assert_array_equal(decode(again, latents), decode(pair.reference, latents))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_published_sizes_have_the_published_names_and_shapes(case):
    with torch.device("meta"):
        reference = case.model(**case.full)
    component = build_component(json.loads(reference.to_json_string()))
    ours = convert.export(component.shapes(), rules=component.published.rules)
    theirs = {name: tuple(x.shape) for name, x in reference.state_dict().items() if "num_batches" not in name}
    assert {name: tuple(x.shape) for name, x in ours.items()} == theirs


def _flat(encoded: Any) -> np.ndarray:
    """Means and log-variances of a posterior, or latents as they are."""
    parts = [encoded.mean, encoded.logvar] if isinstance(encoded, Posterior) else [encoded]
    return np.concatenate([np.asarray(part) for part in parts], -1)
