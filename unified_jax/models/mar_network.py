"""The network of MAR, which other systems have around a language model (arXiv:2406.11838, section 3 and appendix A;
``models/mar.py`` and ``models/diffloss.py`` of github.com/LTH14/mar).

    encoder    norm(stack(norm([in(entry), class] + place)))              of what is shown
    decoder    norm(stack([in(encoded), or mask] + place)) + place        of all
    flow       the denoiser of each entry: 1000 levels, cosine betas, noise and variance

What it is made of lies in ``nn/masked_picture.py``; this file reads its config and names its parameters.
"""

import dataclasses
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from unified_jax.core.noise import VariancePreserving
from unified_jax.core.noise.betas import squared_cosine
from unified_jax.core.noise.timetables import leading, linspace, rounded
from unified_jax.core.types import DTypeLike
from unified_jax.data.document import Image
from unified_jax.data.plan import Span
from unified_jax.interop.pairs import dense, norm, out, under
from unified_jax.interop.rules import Rule
from unified_jax.models.published import Config, with_defaults
from unified_jax.nn.block import Block
from unified_jax.nn.head import TokenFlow
from unified_jax.nn.masked_picture import Buffered, MaskedDecoder, MaskedEmbed, MaskedHead
from unified_jax.nn.mlp import Mlp, gelu
from unified_jax.nn.norm import LayerNorm
from unified_jax.nn.rope import NoRope
from unified_jax.nn.stack import Stack
from unified_jax.nn.told import ClassesOrNone
from unified_jax.sampling.fill import InGroups
from unified_jax.sampling.solvers.ancestral import Ddpm

# The constructor's own.
DEFAULTS = {
    "img_size": 256,
    "vae_stride": 16,
    "patch_size": 1,
    "encoder_embed_dim": 1024,
    "encoder_depth": 16,
    "encoder_num_heads": 16,
    "decoder_embed_dim": 1024,
    "decoder_depth": 16,
    "decoder_num_heads": 16,
    "mlp_ratio": 4.0,
    "vae_embed_dim": 16,
    "class_num": 1000,
    "buffer_size": 64,
    "diffloss_d": 3,
    "diffloss_w": 1024,
    "num_sampling_steps": "100",
}
PATH = VariancePreserving(betas=squared_cosine())
NORM = partial(LayerNorm, 1e-6)


@dataclasses.dataclass(frozen=True, eq=False)
class MarNetwork:
    """What a config makes of its network. sizes: its fields. pictures: where they lie in their stream. side: of the
    tables of places, in entries.
    """

    sizes: Config
    pictures: Buffered
    side: int
    dtype: DTypeLike

    @classmethod
    def of(cls, config: Config, *, side: int | None = None, dtype: DTypeLike) -> "MarNetwork":
        """side: of pictures in pixels, those that it was trained on unless given. Raises ValueError for patches of
        several latents, which no published MAR has.
        """
        sizes = with_defaults(config, DEFAULTS)
        if sizes["patch_size"] != 1:
            raise ValueError(f"patch_size {sizes['patch_size']}: a MAR is known with entries of one latent, 1")
        rows = (side or sizes["img_size"]) // sizes["vae_stride"]
        pictures = Buffered((rows, rows), sizes["buffer_size"])
        return cls(sizes, pictures, sizes["img_size"] // sizes["vae_stride"], dtype)

    def embed(self) -> MaskedEmbed:
        """Of the encoder."""
        width = self.sizes["encoder_embed_dim"]
        classes = ClassesOrNone(self.sizes["class_num"], width)
        return MaskedEmbed(self.pictures, (self.side, self.side), classes, width, NORM, dtype=self.dtype)

    def stack(self, which: str) -> Stack:
        """Of the "encoder" or the "decoder"; no norm after the last layer."""
        width, heads = self.sizes[f"{which}_embed_dim"], self.sizes[f"{which}_num_heads"]
        block = partial(
            Block,
            num_heads=heads,
            head_dim=width // heads,
            pre_norm=NORM,
            mlp=partial(Mlp, int(width * self.sizes["mlp_ratio"]), gelu, dtype=self.dtype),
            route={"main": "main"},
            qkv_bias=True,
            out_bias=True,
            dtype=self.dtype,
        )
        return Stack(block, self.sizes[f"{which}_depth"], NoRope(width // heads), norm=None)

    def head(self, decoder: Stack) -> MaskedHead:
        """decoder: its stack."""
        of, width = self.sizes, self.sizes["decoder_embed_dim"]
        whole = MaskedDecoder(self.pictures, (self.side, self.side), decoder, width, NORM, dtype=self.dtype)
        first = 1 / PATH.levels
        return MaskedHead(whole, TokenFlow(2 * of["vae_embed_dim"], of["diffloss_w"], of["diffloss_d"], NORM, first))

    def fill(self, **growth: Any) -> InGroups:
        """growth: of the guidance, where it grows."""
        return InGroups(
            "image",
            entries=self.pictures.entries,
            features=self.sizes["vae_embed_dim"],
            path=PATH,
            times=times_of(self.sizes["num_sampling_steps"]),
            solver=Ddpm(between=None),
            **growth,
        )

    def span(self, image: Image, **fields: Any) -> Span:
        """A picture, given, learned or blank, its buffer behind it; fields: further ones of ``Span``. Raises ValueError
        for a picture of another size.
        """
        values, (of, channels) = image.values, (self.pictures, self.sizes["vae_embed_dim"])
        if values is not None and values.shape[:2] != of.grid:
            raise ValueError(f"pictures are {of.grid[0]} x {of.grid[1]} latents here, found {values.shape[:2]}")
        entries = np.zeros((of.size, channels), np.float32)
        if values is not None:
            entries[: of.entries] = values.reshape(of.entries, channels)
        fill = "image" if values is None else None
        fields = {"told": self.sizes["class_num"]} | fields
        parts = (("image", entries),)
        return Span(parts, attend="full", closing=of.buffer, learn=image.target, fill=fill, **fields)

    def values_of(self, values: np.ndarray) -> np.ndarray:
        """What a fill produced -> latents on their grid."""
        return values[: self.pictures.entries].reshape(*self.pictures.grid, -1)


def times_of(steps: int | str) -> tuple[float, ...]:
    """Times of the levels that are visited, by their published number: "100", or with another spacing "ddim50"."""
    name = str(steps)
    table = leading(int(name[4:])) if name.startswith("ddim") else rounded(linspace(int(name)))
    return tuple(table.tolist())


def mar_rules(*, embed: str, encoder: str, encoder_norm: str, head: str, depth: int) -> Iterator[Rule]:
    """embed, encoder, encoder_norm, head: where a system has these pieces of the network. depth: of the denoiser."""
    decoder, flow = f"{head}/decoder", f"{head}/flow"
    yield Rule("class_emb.weight", f"{embed}/classes/table")
    yield Rule("fake_latent", f"{embed}/classes/none")
    yield from dense("z_proj", f"{embed}/in")
    yield from norm("z_proj_ln", f"{embed}/norm")
    yield from norm("encoder_norm", encoder_norm)
    yield from _blocks("encoder_blocks", f"{encoder}/layer")
    yield from dense("decoder_embed", f"{decoder}/in")
    yield Rule("mask_token", f"{decoder}/mask", "1 1 d -> d")
    yield from _blocks("decoder_blocks", f"{decoder}/stack/layer")
    yield from norm("decoder_norm", f"{decoder}/norm")
    for name, path in (("encoder_pos_embed_learned", embed), ("decoder_pos_embed_learned", decoder)):
        yield Rule(name, (f"{path}/place/more", f"{path}/place/grid"), "1 [r c] d -> r c d")
    yield Rule("diffusion_pos_embed_learned", f"{decoder}/place_drawn/grid", "1 (r c) d -> r c d")
    yield from under("diffloss.net.", _denoiser(depth), path=f"{flow}/")


def _blocks(name: str, path: str) -> Iterator[Rule]:
    """Layers in timm's names."""
    one, qkv = rf"{name}.(\d+)", [f"{path}/{x}_main" for x in "qkv"]
    yield Rule(f"{one}.attn.qkv.weight", tuple(f"{x}/kernel" for x in qkv), "(three h c) d -> three d h c")
    yield Rule(f"{one}.attn.qkv.bias", tuple(f"{x}/bias" for x in qkv), "(three h c) -> three h c")
    yield from out(f"{one}.attn.proj", f"{path}/o_main")
    yield from norm(f"{one}.norm1", f"{path}/attn_norm_main")
    yield from norm(f"{one}.norm2", f"{path}/mlp_norm_main")
    yield from dense(f"{one}.mlp.fc1", f"{path}/mlp_main/up")
    yield from dense(f"{one}.mlp.fc2", f"{path}/mlp_main/down")


def _denoiser(depth: int) -> Iterator[Rule]:
    yield from dense("time_embed.mlp.0", "time_in")
    yield from dense("time_embed.mlp.2", "time_out")
    yield from dense("cond_embed", "state")
    yield from dense("input_proj", "in")
    for i in range(depth):
        block = f"res_blocks.{i}"
        yield from norm(f"{block}.in_ln", f"norm_{i}")
        yield from dense(f"{block}.mlp.0", f"up_{i}")
        yield from dense(f"{block}.mlp.2", f"down_{i}")
        yield from dense(f"{block}.adaLN_modulation.1", f"modulate_{i}")
    yield from dense("final_layer.adaLN_modulation.1", "modulate")
    yield from dense("final_layer.linear", "out")
