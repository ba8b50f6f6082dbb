"""What a denoiser refuses, in one line: of configs, of weights, of what it is told."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.interop import convert
from unified_jax.models.denoisers.computed import computed
from unified_jax.models.denoisers.transformer import floats
from unified_jax.models.lm import ATTENTION
from unified_jax.models.pretrained import build_component
from unified_jax.nn.condition import Told

SMALL = dict(num_layers=2, num_attention_heads=2, attention_head_dim=8, in_channels=4)
DIT = dict(_class_name="DiTTransformer2DModel", sample_size=8, num_embeds_ada_norm=5, **SMALL)
SD3 = dict(
    _class_name="SD3Transformer2DModel",
    sample_size=8,
    caption_projection_dim=16,
    joint_attention_dim=6,
    pooled_projection_dim=5,
    pos_embed_max_size=4,
    **SMALL,
)
PIXART = dict(_class_name="PixArtTransformer2DModel", cross_attention_dim=16, caption_channels=6, **SMALL)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DIT | dict(norm_type="ada_norm"), "norm_type 'ada_norm': only 'ada_norm_zero' is known"),
        (DIT | dict(activation_fn="geglu"), "activation_fn 'geglu'; known are gelu, gelu-approximate"),
        (PIXART | dict(caption_channels=None), "caption_channels null"),
        (PIXART | dict(cross_attention_dim=8), "cross_attention_dim 8: only 16 is known"),
        (SD3 | dict(qk_norm="layer_norm"), "qk_norm 'layer_norm'; known are null and 'rms_norm'"),
        (dict(_class_name="QwenImageTransformer2DModel", zero_cond_t=True), "zero_cond_t True: only False is known"),
    ],
)
def test_of_configs(config, message):
    with pytest.raises(ValueError, match=message):
        build_component(config)


@pytest.mark.parametrize(
    ("config", "side", "told", "message"),
    [
        (DIT, 8, {}, "reads 'label' of what it is told, which is not given"),
        (SD3, 8, dict(pooled=floats(1, 5)), "reads 'text' of what it is told, which is not given"),
        (
            DIT,
            7,
            dict(label=jnp.zeros(1, int)),
            "latents of 7 x 7: every side must be a positive multiple",
        ),
        (SD3, 10, dict(pooled=floats(1, 5), text=floats(1, 3, 6)), "5 x 5 patches: this denoiser has places for 4 x 4"),
    ],
)
def test_of_inputs(config, side, told, message):
    component = build_component(config)
    init = lambda *inputs: component.module.init(jax.random.key(0), *inputs)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(init, floats(1, side, side, 4), Told(floats(1), **told))


def test_layers_with_embeddings_of_their_own_are_refused():
    component = build_component(DIT)
    params = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), component.shapes())
    rules, name = component.published.rules, "transformer_blocks.1.norm1.emb.timestep_embedder.linear_1.bias"
    tensors = convert.export(params, rules=rules)
    convert.load(tensors, component.shapes(), rules=rules)
    other = dataclasses.replace(tensors[name], read=lambda: np.zeros(tensors[name].shape, np.float32))
    with pytest.raises(ValueError, match=name):
        convert.load({**tensors, name: other}, component.shapes(), rules=rules)


LUMINA = dict(
    _class_name="Lumina2Transformer2DModel",
    in_channels=4,
    hidden_size=24,
    num_layers=1,
    num_refiner_layers=1,
    num_attention_heads=4,
    num_kv_heads=2,
    multiple_of=8,
    axes_dim_rope=(2, 2, 2),
    cap_feat_dim=6,
)


def test_attention_in_tiles_is_the_same_in_every_stack():
    component = build_component(LUMINA)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32) / 4, component.shapes())
    text = rng.normal(size=(2, 5, 6)).astype(np.float32)
    told = Told(np.array([0.2, 0.7], np.float32), text=text, mask=np.arange(5) < np.array([[5], [3]]))
    latents = rng.normal(size=(2, 4, 4, 4)).astype(np.float32)
    want = component.apply(params, latents, told)
    tiled = computed(component, attention="chunked")
    stacks = [getattr(tiled.module.backbone, name) for name in ("text", "image", "joint")]
    assert all(stack.block.keywords["attention"] is ATTENTION["chunked"] for stack in stacks)
    np.testing.assert_allclose(tiled.apply(params, latents, told), want, atol=1e-4)
