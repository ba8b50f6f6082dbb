"""FLUX.1: layers of two streams, then layers of one (black-forest-labs/flux, src/flux/model.py).

It predicts the velocity. Words are at (0, 0, 0), a patch is at (0, row, column). The published network takes patches of
2 x 2 from its pipeline; here they are its own. FLUX.1 dev is told the scale of the guidance it was distilled from.
"""

from collections.abc import Iterator
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.core.types import Array, Bool, DTypeLike, Float, Int
from unified_jax.interop.pairs import dense, heads, norm
from unified_jax.interop.rules import Rule
from unified_jax.models.denoisers import transformer
from unified_jax.models.denoisers.denoiser import Denoiser, PatchEmbed, TextIn
from unified_jax.models.published import Component, Config, with_defaults
from unified_jax.nn.adaptive_norm import AdaNorm
from unified_jax.nn.condition import PooledEmbed, TimeEmbed
from unified_jax.nn.dense import Dense
from unified_jax.nn.norm import RMSNorm
from unified_jax.nn.parallel_block import ParallelBlock
from unified_jax.nn.places import Grid
from unified_jax.nn.rope import NEIGHBOURS, Rope
from unified_jax.nn.stack import Stack
from unified_jax.nn.stages import Stages

DEFAULTS = {
    "patch_size": 1,
    "in_channels": 64,
    "out_channels": None,
    "num_layers": 19,
    "num_single_layers": 38,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 768,
    "guidance_embeds": False,
    "axes_dims_rope": (16, 56, 56),
}
PATCH = 2


class MlpByHead(nn.Module):
    """down(gelu(up(x))), the hidden numbers in groups as large as a head: one published matrix leads from heads and
    hidden numbers back to the states. Its bias is attention's.
    """

    hidden: int
    head_dim: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        features = (self.hidden // self.head_dim, self.head_dim)
        y = jax.nn.gelu(Dense(features, use_bias=True, dtype=self.dtype, name="up")(x))
        return Dense(x.shape[-1], axes=2, dtype=self.dtype, name="down")(y)


def flux(config: Config, *, dtype: DTypeLike) -> Component:
    """``FluxTransformer2DModel``: reads ``text`` and ``pooled``, and ``guidance`` where it was distilled."""
    config = with_defaults(config, DEFAULTS)
    transformer.require(config, patch_size=1)
    width, head_dim = transformer.width(config), config["attention_head_dim"]
    options = dict(pre_norm=AdaNorm, qk_norm=partial(RMSNorm, 1e-6), dtype=dtype)
    double = transformer.block(config, route={"image": "image", "text": "text"}, **options)
    mlp = partial(MlpByHead, 4 * width, head_dim, dtype=dtype)
    single = transformer.block(config, route={"image": "main", "text": "main"}, mlp=mlp, **options)
    rope = Rope(head_dim, sections=tuple(axis // 2 for axis in config["axes_dims_rope"]), pairing=NEIGHBOURS)
    guidance = {"guidance": TimeEmbed(width, field="guidance")} if config["guidance_embeds"] else {}
    module = Denoiser(
        PatchEmbed(width, PATCH, dtype=dtype),
        condition={"pooled": PooledEmbed(width), "time": TimeEmbed(width), **guidance},
        text=TextIn(Dense(width, use_bias=True, dtype=dtype)),
        backbone=Stages(
            (
                Stack(double, config["num_layers"], rope, norm=None),
                Stack(partial(ParallelBlock, **single.keywords), config["num_single_layers"], rope, norm=None),
            )
        ),
        norm=AdaNorm(parts=("scale", "shift")),
        channels=(config["out_channels"] or config["in_channels"]) // PATCH**2,
        positions=by_place,
    )
    told = {
        "text": transformer.floats(1, transformer.TEXT, config["joint_attention_dim"]),
        "pooled": transformer.floats(1, config["pooled_projection_dim"]),
    }
    told |= {"guidance": transformer.floats(1)} if guidance else {}
    return transformer.component(module, config, RULES, channels=config["in_channels"] // PATCH**2, **told)


def by_place(grid: Grid, mask: Bool[Array, "B S"]) -> tuple[Int[Array, "B T A"], Int[Array, "B S A"]]:
    """(0, row, column) of the picture's slots, nothing of the text's."""
    place = np.stack(np.indices((1, *grid)), -1).reshape(-1, 3)
    image = jnp.broadcast_to(jnp.asarray(place, jnp.int32), (mask.shape[0], *place.shape))
    return image, jnp.zeros((*mask.shape, 3), jnp.int32)


def double_rules(path: str) -> Iterator[Rule]:
    """Of the layers of two streams, one of which is published as the context."""
    name = transformer.BLOCK
    yield from transformer.attention(f"{name}.attn", path)
    yield from transformer.added(f"{name}.attn", path)
    for theirs, ours in (("", "image"), ("_context", "text")):
        places = (f"{path}/{place}_norm_{ours}" for place in ("attn", "mlp"))
        yield from transformer.modulation(f"{name}.norm1{theirs}.linear", *places)
        yield from transformer.feed(f"{name}.ff{theirs}", f"{path}/mlp_{ours}")


def single_rules(path: str) -> Iterator[Rule]:
    """Of the layers of one stream."""
    name = rf"single_{transformer.BLOCK}"
    for x in "qkv":
        yield from heads(f"{name}.attn.to_{x}", f"{path}/{x}_main")
    for x in "qk":
        yield from norm(f"{name}.attn.norm_{x}", f"{path}/{x}_norm_main")
    yield from transformer.modulation(f"{name}.norm.linear", f"{path}/norm_main")
    yield from heads(f"{name}.proj_mlp", f"{path}/mlp_main/up")
    both = (f"{path}/o_main/kernel", f"{path}/mlp_main/down/kernel")
    yield Rule(f"{name}.proj_out.weight", both, "d [h c] -> h c d")
    yield Rule(f"{name}.proj_out.bias", f"{path}/o_main/bias")


RULES = (
    Rule("x_embedder.weight", "embed/in/kernel", "d (c p q) -> p q c d"),
    Rule("x_embedder.bias", "embed/in/bias"),
    *transformer.two_maps("time_text_embed.timestep_embedder", "condition_time/mlp"),
    *transformer.two_maps("time_text_embed.guidance_embedder", "condition_guidance/mlp"),
    *transformer.two_maps("time_text_embed.text_embedder", "condition_pooled/mlp"),
    *dense("context_embedder", "text/project"),
    *double_rules("backbone/stages_0/layer"),
    *single_rules("backbone/stages_1/layer"),
    *transformer.modulation("norm_out.linear", "norm"),
    *transformer.patches_out("proj_out", "c p q"),
)
