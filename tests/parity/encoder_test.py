"""Published encoders against transformers: the same random weights, float32, through the published file layout.

Every case is compared over whole outputs at two sizes, in the states of every layer, and after it was written back and
read by the reference.
"""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest
import torch
import transformers
from difference import worst_relative
from encoders import CASES, DINO, PATCH, Case, Given, any_size, ids, pixels
from safetensors.numpy import load_file, save_file

from unified_jax.core.pictures import pack_pictures
from unified_jax.models.pretrained import from_pretrained, save_pretrained
from unified_jax.models.published import Component
from unified_jax.nn.encoder import Encoder

TOLERANCE = 1e-4
LAYERS = (0, -2)  # as the reference counts its hidden_states; the last but one is what LLaVA and SDXL read
POOLED = ("text_embeds", "image_embeds", "pooler_output")


@dataclasses.dataclass(frozen=True)
class Pair:
    """One set of weights on both sides, and the folder they came through."""

    case: Case
    reference: torch.nn.Module
    component: Component
    params: Any
    folder: Any

    def ours(self, given: Given) -> list[np.ndarray]:
        return [np.asarray(x) for x in jax.jit(self._outputs)(self.params, *given.ours)]

    def _outputs(self, params: Any, *inputs: Any) -> list[jax.Array]:
        out = self.component.apply(params, *inputs)
        if not isinstance(self.component.module, Encoder):
            return [out]
        features = [self.component.apply(params, *inputs, layer=layer, method="features") for layer in LAYERS]
        return [out.states, *([] if out.pooled is None else [out.pooled[:, 0]]), *features]

    def theirs(self, given: Given) -> list[np.ndarray]:
        return outputs(self.reference, given, layered=isinstance(self.component.module, Encoder))


def outputs(reference: torch.nn.Module, given: Given, *, layered: bool) -> list[np.ndarray]:
    with torch.no_grad():
        out = reference(**given.theirs, output_hidden_states=True)
    pooled = [out[name] for name in POOLED if out.get(name) is not None][:1]
    layers = [out.hidden_states[layer] for layer in LAYERS]
    return [x.numpy() for x in (out.last_hidden_state, *(pooled + layers if layered else []))]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def pair(request, tmp_path_factory) -> Pair:
    folder = tmp_path_factory.mktemp(request.param.name)
    reference = request.param.reference()
    reference.save_pretrained(folder)
    component, params = from_pretrained(folder)
    return Pair(request.param, reference, component, params, folder)


def test_outputs_agree_at_two_sizes(pair, record_parity):
    worst = 0.0
    for given in pair.case.given:
        for got, want in zip(pair.ours(given), pair.theirs(given)):
            got, want = ((x[given.real] if x.ndim == 3 else x) for x in (got, want))
            assert got.shape == want.shape
            worst = max(worst, worst_relative(got, want))
            assert np.abs(want[0] - want[-1]).max() > 0.1 * np.abs(want).max(), "outputs that hardly vary show little"
    record_parity(
        f"encoder:{pair.case.name}",
        reference=pair.case.version,
        what="states of the last layer and of others, what is pooled, at two sizes",
        worst_relative=worst,
        tolerance=TOLERANCE,
    )
    assert worst <= TOLERANCE


def test_written_back_the_reference_reads_the_same_model(pair, tmp_path):
    save_pretrained(tmp_path, pair.component, pair.params)
    again, info = type(pair.reference).from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    for given in pair.case.given:
        for got, want in zip(
            outputs(again.eval(), given, layered=False), outputs(pair.reference, given, layered=False)
        ):
            np.testing.assert_array_equal(got, want)


def test_names_with_the_prefix_of_older_files_are_read_too(pair, tmp_path):
    prefix = pair.component.published.prefix
    if not prefix:
        pytest.skip("this kind never had one")
    old = {prefix + name: tensor for name, tensor in load_file(pair.folder / "model.safetensors").items()}
    save_file(old, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((pair.folder / "config.json").read_text())
    jax.tree.map(np.testing.assert_array_equal, from_pretrained(tmp_path)[1], pair.params)


def test_pictures_packed_in_one_row_are_what_each_is_alone(pair):
    if pair.case.model.main_input_name != "pixel_values" or not isinstance(pair.component.module, Encoder):
        pytest.skip("reads no pictures")
    rng = np.random.default_rng(0)
    pictures = [rng.normal(size=(h * PATCH, w * PATCH, 3)).astype(np.float32) for h, w in ((4, 4), (2, 5), (1, 1))]
    apply = jax.jit(pair.component.apply)
    packed = apply(pair.params, pack_pictures([pictures, pictures[2:0:-1]], size=PATCH, capacity=30))
    leading = packed.states.shape[1] - 30
    for row, column, number, start in ((0, 0, 0, 0), (0, 1, 1, 16), (0, 2, 2, 26), (1, 0, 2, 0), (1, 1, 1, 1)):
        alone = apply(pair.params, pack_pictures([[pictures[number]]], size=PATCH, capacity=30))
        size = pictures[number].size // (3 * PATCH**2)
        before = leading // 3
        np.testing.assert_allclose(
            packed.states[row, leading + start : leading + start + size],
            alone.states[0, before : before + size],
            atol=1e-4,
            rtol=1e-4,
        )
        np.testing.assert_allclose(packed.pooled[row, column], alone.pooled[0, 0], atol=1e-4, rtol=1e-4)


def test_a_layer_there_is_not_is_refused(pair):
    if not isinstance(pair.component.module, Encoder):
        pytest.skip("has no features")
    inputs = pair.case.given[0].ours
    with pytest.raises(ValueError, match=r"layer 4 of an encoder of 3 layers: from -4 to 3"):
        pair.component.apply(pair.params, *inputs, layer=4, method="features")


SMALL = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
SMALL_TEXT = dict(SMALL, vocab_size=64, bos_token_id=1, pad_token_id=0, eos_token_id=3)
SMALL_VISION = dict(SMALL, image_size=28, patch_size=7)


def clip():
    config = transformers.CLIPConfig(text_config=SMALL_TEXT, vision_config=SMALL_VISION, projection_dim=24)
    return transformers.CLIPModel(config)


def blip2():
    opt = dict(model_type="opt", hidden_size=32, ffn_dim=48, word_embed_proj_dim=32, num_hidden_layers=1)
    opt |= dict(num_attention_heads=4, vocab_size=64, max_position_embeddings=16)
    config = transformers.Blip2Config(vision_config=SMALL_VISION, qformer_config=SMALL, text_config=opt)
    return transformers.Blip2Model(config)


@pytest.mark.parametrize(
    ("make", "part", "attribute"),
    [
        (blip2, "vision_config", "vision_model"),
        (blip2, "qformer_config", "qformer"),
    ],
)
def test_one_network_of_a_folder_that_holds_several(make, part, attribute, tmp_path):
    whole = make().eval()
    whole.save_pretrained(tmp_path / "whole")
    getattr(whole, attribute).save_pretrained(tmp_path / "part")
    component, params = from_pretrained(tmp_path / "whole", part=part)
    jax.tree.map(np.testing.assert_array_equal, params, from_pretrained(tmp_path / "part")[1])
    save_pretrained(tmp_path / "back", component, params)
    again, info = type(getattr(whole, attribute)).from_pretrained(tmp_path / "back", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ("vision_config", transformers.CLIPVisionModelWithProjection),
        ("text_config", transformers.CLIPTextModelWithProjection),
    ],
)
def test_a_part_of_clip_has_the_projection_that_the_whole_has(part, kind, tmp_path):
    whole = clip().eval()
    whole.save_pretrained(tmp_path / "whole")
    component, params = from_pretrained(tmp_path / "whole", part=part)
    save_pretrained(tmp_path / "back", component, params)
    again, info = kind.from_pretrained(tmp_path / "back", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    given = any_size(28, 28) if part == "vision_config" else ids(12)
    with torch.no_grad():
        features = whole.get_image_features if part == "vision_config" else whole.get_text_features
        want = features(**given.theirs).pooler_output.numpy()
    got = jax.jit(component.apply)(params, *given.ours).pooled[:, 0]
    assert want.shape == (2, 24) and worst_relative(np.asarray(got), want) < TOLERANCE


def test_a_table_of_words_that_is_not_the_shared_one_is_refused(tmp_path):
    case = next(case for case in CASES if case.name == "t5")
    case.reference().save_pretrained(tmp_path)
    path, repeated = tmp_path / "model.safetensors", "encoder.embed_tokens.weight"
    tensors = load_file(path)
    save_file(tensors | {repeated: tensors["shared.weight"].copy()}, path)
    from_pretrained(tmp_path)
    save_file(tensors | {repeated: tensors["shared.weight"] + 1}, path)
    with pytest.raises(ValueError, match="encoder.embed_tokens.weight"):
        from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "kind", [transformers.Dinov2ForImageClassification, transformers.Dinov2WithRegistersForImageClassification]
)
def test_the_head_of_a_classifier_is_left_aside(kind, tmp_path):
    classifier = kind(kind.config_class(**DINO)).eval()
    classifier.save_pretrained(tmp_path)
    component, params = from_pretrained(tmp_path)
    given = pixels(28, 28)
    with torch.no_grad():
        want = classifier.base_model(**given.theirs).last_hidden_state.numpy()
    got = jax.jit(component.apply)(params, *given.ours).states
    assert worst_relative(np.asarray(got), want) < TOLERANCE


def test_a_folder_that_holds_several_networks_asks_for_a_part(tmp_path):
    clip().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="several networks; choose part='text_config' or part='vision_config'"):
        from_pretrained(tmp_path)


def test_a_part_there_is_not_is_named(tmp_path):
    clip().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="a 'clip' checkpoint has no part 'audio'; its parts are text_config, vision"):
        from_pretrained(tmp_path, part="audio")
