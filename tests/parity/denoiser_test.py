"""Published denoisers against diffusers: the same random weights, float32, through the published layout."""

import dataclasses
from collections.abc import Callable
from typing import Any

import diffusers
import jax
import numpy as np
import pytest
import torch
from denoisers import CASES, Case
from difference import worst_relative

from unified_jax.models.pretrained import from_pretrained, save_pretrained
from unified_jax.models.published import Component

TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class Pair:
    """One set of weights on both sides; ours is compiled once for each shape."""

    case: Case
    reference: torch.nn.Module
    component: Component
    params: Any
    predict: Callable[..., jax.Array]

    def ours(self, latents: np.ndarray, told: Any) -> np.ndarray:
        return np.asarray(self.predict(self.params, latents, told))


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def pair(request, tmp_path_factory) -> Pair:
    folder = tmp_path_factory.mktemp(request.param.name)
    reference = request.param.reference()
    reference.save_pretrained(folder)
    component, params = from_pretrained(folder)
    return Pair(request.param, reference, component, params, jax.jit(component.apply))


def test_predictions_agree_at_two_sizes(pair, record_parity):
    worst = 0.0
    for grid in pair.case.grids:
        latents, told = pair.case.given(grid)
        want = pair.case.predict(pair.reference, latents, told)
        assert np.abs(want[0] - want[1]).max() > 0.1 * np.abs(want).max(), "outputs that hardly vary show little"
        worst = max(worst, worst_relative(pair.ours(latents, told), want))
    record_parity(
        f"denoiser:{pair.case.name}",
        reference=pair.case.version,
        what=f"prediction, latents of {' and '.join('x'.join(map(str, grid)) for grid in pair.case.grids)}",
        worst_relative=worst,
        tolerance=TOLERANCE,
    )
    assert worst <= TOLERANCE


def test_twenty_guided_steps_are_those_of_the_pipeline(pair, record_parity):
    latents, told = pair.case.given(pair.case.grids[0])
    if told.label is not None:
        told = told.replace(label=np.array([1000, told.label[1]], np.int32))
    want, timesteps = pair.case.pipeline(pair.reference, latents[:1], told)

    def predict(x: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        both = np.concatenate([x, x]).astype(np.float32)
        without, with_ = pair.ours(both, told.replace(time=np.full(2, time, np.float32)))
        return without[None], with_[None]

    got = pair.case.sample(predict, latents[:1], timesteps)
    worst = worst_relative(got, want)
    record_parity(
        f"denoiser:{pair.case.name} 20 steps",
        reference=f"diffusers {diffusers.__version__}, the pipeline around {pair.case.model.__name__}",
        what="latents after 20 steps with classifier-free guidance",
        worst_relative=worst,
        tolerance=10 * TOLERANCE,
    )
    assert worst <= 10 * TOLERANCE


def test_another_prompt_gives_another_prediction(pair):
    latents, told = pair.case.given(pair.case.grids[0])
    _, other = pair.case.given(pair.case.grids[0], seed=1)
    swapped = told.replace(**{name: getattr(other, name) for name in ("label", "text", "pooled")})
    assert worst_relative(pair.ours(latents, swapped), pair.ours(latents, told)) > 0.01


def test_written_back_the_reference_reads_the_same_network(pair, tmp_path):
    save_pretrained(tmp_path, pair.component, pair.params)
    again, info = type(pair.reference).from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    latents, told = pair.case.given(pair.case.grids[0])
    want = pair.case.predict(pair.reference, latents, told)
    np.testing.assert_array_equal(pair.case.predict(again.eval(), latents, told), want)
