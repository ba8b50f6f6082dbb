"""Show-o: next-token text, and pictures of codes that are uncovered all at once, in one sequence (arXiv:2408.12528).

Text is causal; the codes of a picture are one block that sees itself. Its entries start as masks, or as random codes,
and a discrete process turns them into the picture (``core.discrete``, ``sampling.confidence``).
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from unified_jax.codecs.network import NetworkCodec
from unified_jax.codecs.vq import VectorQuantised
from unified_jax.core.discrete import Absorbing, Uniform
from unified_jax.core.masking import Ratio, find_ratio
from unified_jax.data.pack import Stream
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models.model import Model
from unified_jax.models.pictured import Pictures, at_once, on_grid, pictured
from unified_jax.nn.code_embed import Codes
from unified_jax.nn.head import Linear
from unified_jax.sampling.confidence import Confident
from unified_jax.sampling.fill import Refine

# How pictures come about, by the name a config gives it; of a number of codes, whose next id is the mask.
PROCESSES: Mapping[str, Callable[[int, Ratio], Any]] = {
    "confident": lambda codes, ratio: Confident(codes, ratio),
    "absorbing": lambda codes, ratio: Absorbing(codes, ratio),
    "uniform": lambda codes, ratio: Uniform(codes, ratio),
}


def show_o(
    tokenizer: Tokenizer,
    *,
    width: int = 192,
    codec: Mapping[str, Any] | None = None,
    image_size: tuple[int, int] = (32, 32),
    process: str = "confident",
    ratio: str = "cosine",
    **body: Any,
) -> Model:
    """One dense decoder over a text stream and a stream of image codes.

    codec: fields of VectorQuantised, as it was trained; its parameters are ``params["codec"]``. image_size: (height,
      width) of drawn pictures, and the largest it reads. process, ratio: names in ``PROCESSES`` and ``RATIOS``. body:
      further fields of ``lm.dense`` (depth, num_heads, hidden, remat, dtype ...).
    Raises ValueError for unknown names.
    """
    codec = dict(codec or {})
    module = VectorQuantised(**codec)
    vq, codes = NetworkCodec(module), module.codes
    grid = vq.grid(*image_size)
    pictures = Pictures(
        codec=vq,
        streams={"image": Stream("main")},
        embed={"image": Codes(codes + 1, width, grid, dtype=body.get("dtype", "float32"))},
        heads={"image": Linear(codes)},
        write=partial(at_once, codec=vq, image_size=image_size),
        fill=Refine("image", find_process(process)(codes, find_ratio(ratio))),
        values_of=partial(on_grid, grid=grid),
    )
    sizes = dict(width=width, image_size=image_size, **body)
    arguments = {"codec": codec, "process": process, "ratio": ratio, **sizes}
    return pictured("show_o", tokenizer, pictures=pictures, arguments=arguments, **sizes)


def find_process(name: str) -> Callable[[int, Ratio], Any]:
    """How pictures come about, by name. Raises ValueError for an unknown one."""
    if name not in PROCESSES:
        raise ValueError(f"unknown process {name!r}; choose one of {', '.join(PROCESSES)}")
    return PROCESSES[name]
