"""Transfusion: next-token text and flow-matched image patches in one sequence (arXiv:2408.11039).

Text is causal; each picture is one block whose patches see each other. A picture to be learned is a noised private
copy; when anything follows it, a clean copy comes after, so that later parts condition on what was drawn and not on
its noise (the order BAGEL trains with, arXiv:2505.14683, section 2.2).
"""

from functools import partial

import numpy as np

from unified_jax.codecs.patch import Patches
from unified_jax.core.noise import Rectified
from unified_jax.data.document import Image
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.plan import Span
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models import script
from unified_jax.models.family import Family, without_text
from unified_jax.models.model import Model
from unified_jax.nn.block import Block
from unified_jax.nn.embed import Latents, Tokens
from unified_jax.nn.head import Linear, Tied
from unified_jax.nn.mlp import GatedMlp
from unified_jax.nn.rope import Rope
from unified_jax.nn.stack import Stack
from unified_jax.sampling.fill import Autoregress, Integrate

# A floor of 1 makes the loss that of the data itself at every time. Weighed as velocities, errors near the data count
# up to 400 times as much, and a small network spends its training on the last traces of noise, not on the content.
PATH = Rectified(prediction="clean", floor=1.0)


def transfusion(
    tokenizer: Tokenizer,
    *,
    width: int = 192,
    depth: int = 4,
    num_heads: int = 6,
    num_kv_heads: int | None = None,
    hidden: int = 576,
    patch: int = 8,
    image_size: tuple[int, int] = (32, 32),
    qk_norm: bool = True,
    remat: str = "none",
    unroll: int = 1,
    dtype: str = "float32",
) -> Model:
    """One dense decoder over a text stream and a stream of image patches. hidden: width of the gated MLP."""
    arguments = {k: v for k, v in locals().items() if k != "tokenizer"}
    if width % num_heads:
        raise ValueError(f"width {width} must be a multiple of num_heads {num_heads}")
    head_dim, codec = width // num_heads, Patches(patch)
    grid = codec.grid(*image_size)
    text = Tokens(tokenizer.vocab, width, multiplier=width**0.5, dtype=dtype)
    block = partial(
        Block,
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        qk_norm=qk_norm,
        mlp=partial(GatedMlp, hidden, dtype=dtype),
        route={"main": "main"},
        dtype=dtype,
    )
    streams = {"text": Stream("main"), "image": Stream("main", codec.shape, codec.dtype)}
    return Model(
        lane={name: stream.lane for name, stream in streams.items()},
        width={"main": width},
        embed={"text": text, "image": Latents(width, grid, dtype=dtype)},
        backbone=Stack(block, depth, Rope(head_dim, sections=_sections(head_dim)), remat=remat, unroll=unroll),
        heads={"text": Tied(text), "image": Linear(codec.shape[0], zero=True)},
        dtype=dtype,
        family=Family(
            name="transfusion",
            arguments=arguments,
            tokenizer=tokenizer,
            codec=codec,
            streams=streams,
            smallest=Layout({"main": 2}, {"text": 1, "image": 1}),
            image_size=image_size,
            write=partial(
                script.write, tokenizer=tokenizer, picture=partial(patches, codec=codec, image_size=image_size)
            ),
            null=without_text,
            fills={
                "text": Autoregress("text", allowed=(0, tokenizer.vocab), stop=tokenizer.special["<eos>"]),
                "image": Integrate("image", PATH),
            },
            values_of=lambda values: values.reshape(*grid, -1),
        ),
    )


def patches(image: Image, final: bool, *, codec: Patches, image_size: tuple[int, int]) -> list[Span]:
    """A given picture: clean. A learned one: noised and private, then clean if anything follows. A blank: to fill."""
    if image.values is None:
        grid = codec.grid(*image_size)
        blank = np.zeros((grid[0] * grid[1], *codec.shape), np.float32)
        return [Span((("image", blank),), attend="full", private=True, grid=grid, fill="image")]
    grid = image.values.shape[:2]
    parts = (("image", image.values.reshape(-1, image.values.shape[-1])),)
    clean = Span(parts, attend="full", learn=False, grid=grid)
    if not image.target:
        return [clean]
    noised = Span(parts, attend="full", private=True, grid=grid)
    return [noised] if final else [noised, clean]


def _sections(head_dim: int) -> tuple[int, int, int]:
    """Half of the channels turn by sequence index, a quarter each by row and column.

    Editing copies most patches from the same place of the picture before: a head finds that place by its rotation.
    """
    quarter = head_dim // 8
    return head_dim // 2 - 2 * quarter, quarter, quarter
