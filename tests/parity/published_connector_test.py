"""Connectors of published systems: read out of the folder of the whole system, as transformers writes it."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np
import pytest
import torch
import transformers
from connectors import side_by_side
from difference import worst_relative
from random_weights import redraw

from unified_jax.models.pretrained import build_part, from_pretrained, save_pretrained

TOLERANCE = 1e-4
WIDTH, OUT, GRID = 16, 32, (6, 6)
BODY = dict(hidden_size=WIDTH, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2)
CLIP = BODY | dict(model_type="clip_vision_model", image_size=28, patch_size=7)
SIGLIP = BODY | dict(image_size=28, patch_size=7)
TEXT = dict(
    hidden_size=OUT,
    intermediate_size=24,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=2,
    vocab_size=64,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
)
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
QWEN = TEXT | dict(rope_parameters=ROPE)
OPT = dict(
    model_type="opt",
    hidden_size=OUT,
    ffn_dim=24,
    word_embed_proj_dim=OUT,
    num_hidden_layers=1,
    num_attention_heads=2,
    vocab_size=64,
    max_position_embeddings=16,
)


@dataclasses.dataclass(frozen=True)
class Case:
    """kind: class of the whole system. config: its sizes. run: (its base model, states [B T D]) -> states."""

    kind: type
    config: Callable[[], transformers.PreTrainedConfig]
    run: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]

    def reference(self) -> torch.nn.Module:
        """The system with random weights."""
        return redraw(self.kind(self.config()), lambda weight: 0.3)


def internvl(model, x):
    places = x.view(len(x), *GRID, WIDTH)
    return model.multi_modal_projector(model.pixel_shuffle(places, scale_factor=0.5).flatten(1, 2))


def merged(model, x):
    return model.visual.merger(side_by_side(x, GRID, 2).reshape(-1, WIDTH)).view(len(x), -1, OUT)


def blip2(model, x):
    queries = model.query_tokens.expand(len(x), -1, -1)
    read = model.qformer(query_embeds=queries, encoder_hidden_states=x).last_hidden_state
    return model.language_projection(read)


CASES = {
    "llava": Case(
        transformers.LlavaForConditionalGeneration,
        lambda: transformers.LlavaConfig(vision_config=CLIP, text_config=TEXT | {"model_type": "llama"}),
        lambda model, x: model.multi_modal_projector(x),
    ),
    "internvl": Case(
        transformers.InternVLForConditionalGeneration,
        lambda: transformers.InternVLConfig(
            vision_config=BODY | dict(image_size=[28, 28], patch_size=[7, 7]),
            text_config=TEXT | {"model_type": "qwen2"},
        ),
        internvl,
    ),
    "qwen2-vl": Case(
        transformers.Qwen2VLForConditionalGeneration,
        lambda: transformers.Qwen2VLConfig(
            vision_config=dict(depth=1, embed_dim=WIDTH, hidden_size=OUT, num_heads=2), text_config=QWEN
        ),
        merged,
    ),
    "qwen2.5-vl": Case(
        transformers.Qwen2_5_VLForConditionalGeneration,
        lambda: transformers.Qwen2_5_VLConfig(
            vision_config=dict(depth=1, hidden_size=WIDTH, intermediate_size=24, out_hidden_size=OUT, num_heads=2),
            text_config=QWEN,
        ),
        merged,
    ),
    "idefics2": Case(
        transformers.Idefics2ForConditionalGeneration,
        lambda: transformers.Idefics2Config(
            vision_config=SIGLIP,
            text_config=TEXT | {"model_type": "mistral", "rms_norm_eps": 1e-3},
            perceiver_config=dict(
                hidden_size=OUT,
                rms_norm_eps=1e-3,
                resampler_n_latents=5,
                resampler_depth=2,
                resampler_n_heads=4,
                resampler_head_dim=6,
                num_key_value_heads=2,
            ),
        ),
        lambda model, x: model.connector(x, torch.ones(x.shape[:2], dtype=torch.long)),
    ),
    "idefics3": Case(
        transformers.Idefics3ForConditionalGeneration,
        lambda: transformers.Idefics3Config(
            vision_config=SIGLIP, text_config=TEXT | {"model_type": "llama"}, scale_factor=3
        ),
        lambda model, x: model.connector(x),
    ),
    "blip2": Case(
        transformers.Blip2ForConditionalGeneration,
        lambda: transformers.Blip2Config(
            vision_config=SIGLIP, qformer_config=BODY, text_config=OPT, num_query_tokens=5
        ),
        blip2,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_connector_is_read_out_of_its_system_and_gives_the_same_states(name, tmp_path, record_parity):
    case = CASES[name]
    reference = case.reference()
    reference.save_pretrained(tmp_path / "whole")
    component, params = from_pretrained(tmp_path / "whole", part="connector")
    x = np.random.default_rng(0).normal(size=(2, GRID[0] * GRID[1], WIDTH)).astype(np.float32)
    base = reference if name == "blip2" else reference.model
    with torch.no_grad():
        want = case.run(base, torch.tensor(x)).numpy()
    got = jax.jit(lambda params, x: component.apply(params, x, grid=GRID))(params, x)
    worst = worst_relative(np.asarray(got), want)
    record_parity(
        f"connector:{name}-folder",
        reference=f"transformers {transformers.__version__}, {case.kind.__name__}",
        what="states, from the folder of the whole system",
        worst_relative=worst,
        tolerance=TOLERANCE,
    )
    assert worst <= TOLERANCE
    save_pretrained(tmp_path / "back", component, params)
    again = from_pretrained(tmp_path / "back", part="connector")[1]
    jax.tree.map(np.testing.assert_array_equal, again, params)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "llava", "vision_feature_layer": [-2, -5]}, r"vision_feature_layer \[-2, -5\]"),
        (
            {"model_type": "blip-2", "qformer_config": {}, "text_config": {"model_type": "bert"}},
            "known are llama, opt, t5",
        ),
        ({"model_type": "fuyu"}, "a 'fuyu' checkpoint has no part 'connector'; its parts are none"),
    ],
)
def test_what_is_not_known_is_refused(config, message):
    with pytest.raises(ValueError, match=message):
        build_part(config, "connector")
