"""Published connectors of a few affine maps, with or without blocks of places side by side before them.

LLaVA (arXiv:2310.03744, section 3.2), InternVL (2404.16821, section 3.1), Idefics3 (2408.12637, section 3.1), Qwen2-VL
(2409.12191, section 2.1).
"""

from collections.abc import Callable, Iterable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.types import DTypeLike
from unified_jax.interop.pairs import dense, norm
from unified_jax.interop.rules import Rule
from unified_jax.models.published import Component, Config, Published, with_defaults
from unified_jax.nn.connectors.pooling import PixelShuffle
from unified_jax.nn.connectors.projection import Projection
from unified_jax.nn.mlp import find_activation, gelu
from unified_jax.nn.norm import LayerNorm, RMSNorm


def llava(config: Config, *, dtype: DTypeLike) -> Component:
    """``LlavaMultiModalProjector``, of one layer's states. Raises ValueError for a choice of several."""
    config = with_defaults(config, LLAVA)
    if not isinstance(config["vision_feature_layer"], int):
        raise ValueError(f"vision_feature_layer {config['vision_feature_layer']}: states of one layer are read here")
    seen, width, bias = *_widths(config), config["multimodal_projector_bias"]
    activation = find_activation(config["projector_hidden_act"])
    module = Projection(width, hidden=(width,), activation=activation, use_bias=bias, dtype=dtype)
    name = "multi_modal_projector"
    rules = (*dense(f"{name}.linear_1", "layer_0"), *dense(f"{name}.linear_2", "out"))
    return connector(module, config, rules=rules, width=seen, roots=(f"{name}.",))


def internvl(config: Config, *, dtype: DTypeLike) -> Component:
    """``InternVLMultiModalProjector`` behind its pixel shuffle."""
    config = with_defaults(config, INTERNVL)
    seen, width = _widths(config)
    then = Projection(
        width,
        hidden=(width,),
        activation=find_activation(config["projector_hidden_act"]),
        norm=partial(LayerNorm, 1e-5),
        dtype=dtype,
    )
    name = "multi_modal_projector"
    rules = (
        *norm(f"{name}.layer_norm", "then/norm"),
        *dense(f"{name}.linear_1", "then/layer_0"),
        *dense(f"{name}.linear_2", "then/out"),
    )
    module = PixelShuffle(round(1 / config["downsample_ratio"]), then=then)
    return connector(module, config, rules=rules, width=seen, roots=(f"{name}.",))


def idefics3(config: Config, *, dtype: DTypeLike) -> Component:
    """``Idefics3Connector``, and SmolVLM's."""
    config = with_defaults(config, {"scale_factor": 2})
    seen, width = _widths(config)
    then = Projection(width, use_bias=False, dtype=dtype)
    module = PixelShuffle(config["scale_factor"], then=then)
    rules = dense("connector.modality_projection.proj", "then/out")
    return connector(module, config, rules=rules, width=seen, roots=("connector.",))


def qwen2_vl(config: Config, *, dtype: DTypeLike) -> Component:
    """``PatchMerger`` of Qwen2-VL: a norm of each place, then two by two of them. x has places in reading order."""
    vision = with_defaults(Config(config["vision_config"]), {"embed_dim": 1280, "hidden_size": 3584, **MERGED})
    width, features, side = (vision[name] for name in ("embed_dim", "hidden_size", "spatial_merge_size"))
    return _merger(config, width=width, features=features, side=side, place_norm=partial(LayerNorm, 1e-6), dtype=dtype)


def qwen2_5_vl(config: Config, *, dtype: DTypeLike) -> Component:
    """``Qwen2_5_VLPatchMerger``: the same with another norm."""
    vision = with_defaults(Config(config["vision_config"]), {"hidden_size": 3584, "out_hidden_size": 3584, **MERGED})
    width, features, side = (vision[name] for name in ("hidden_size", "out_hidden_size", "spatial_merge_size"))
    return _merger(config, width=width, features=features, side=side, place_norm=partial(RMSNorm, 1e-6), dtype=dtype)


def _merger(
    config: Config, *, width: int, features: int, side: int, place_norm: Callable[..., nn.Module], dtype: DTypeLike
) -> Component:
    then = Projection(features, hidden=(side**2 * width,), activation=gelu, dtype=dtype)
    name = "visual.merger"
    rules = (
        *norm(f"{name}.ln_q", "norm"),
        *dense(f"{name}.mlp.0", "then/layer_0"),
        *dense(f"{name}.mlp.2", "then/out"),
    )
    module = PixelShuffle(side, then=then, norm=place_norm)
    return connector(module, config, rules=rules, width=width, roots=(f"{name}.",))


def connector(
    module: nn.Module, config: Config, *, rules: Iterable[Rule], width: int, roots: tuple[str, ...]
) -> Component:
    """A connector that reads states of this width. roots: as in ``Published``."""
    states = jax.ShapeDtypeStruct((1, SIDE**2, width), jnp.float32)
    return Component(module, (states,), Published(config, tuple(rules), roots=roots), {"grid": (SIDE, SIDE)})


def _widths(config: Config) -> tuple[int, int]:
    """Of an encoder's states and of a language model's, the latter as wide as files of LLaVA leave unsaid."""
    vision, text = Config(config["vision_config"]), with_defaults(Config(config["text_config"]), {"hidden_size": 4096})
    return vision["hidden_size"], text["hidden_size"]


SIDE = 12  # of a grid that divides into the blocks of all of them; parameters do not depend on it
MERGED = {"spatial_merge_size": 2}
LLAVA = {"projector_hidden_act": "gelu", "multimodal_projector_bias": True, "vision_feature_layer": -2}
INTERNVL = {"projector_hidden_act": "gelu", "downsample_ratio": 0.5}
