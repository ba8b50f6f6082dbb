"""The rotary positions of a published ``config.json``, in the layout of transformers 4 or of transformers 5.

4: {"rope_theta": 1e6, "rope_scaling": {"type": "yarn", "factor": 4.0, ...} or None, ...}
5: {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, ...}, ...}
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from unified_jax.nn.rope import Rope, contiguous, interleaved
from unified_jax.nn.rope_scaling import (
    blended,
    divided,
    dynamic_stretch,
    interpolated,
    leading,
    log_attention_factor,
    ramped,
    rebased,
    root_attention_factor,
)


class Parameters(dict):
    """Keys of the config by published name; one that is needed and not there raises ValueError."""

    def __missing__(self, key: str) -> Any:
        kind = self.get("rope_type", "default")
        raise ValueError(f"the config has no {key!r}, which rope_type {kind!r} needs; no default is assumed")


def _default(p: Parameters) -> dict[str, Any]:
    return {}


def _linear(p: Parameters) -> dict[str, Any]:
    return {"frequencies": partial(interpolated, factor=p["factor"])}


def _dynamic(p: Parameters) -> dict[str, Any]:
    original = p["max_position_embeddings"]
    stretch = dynamic_stretch(p["factor"], length=p.get("length", original), original_length=original)
    return {"frequencies": partial(rebased, stretch=stretch)}


def _yarn(p: Parameters) -> dict[str, Any]:
    original = p["original_max_position_embeddings"]
    factor = p["factor"] if "factor" in p else p["max_position_embeddings"] / original
    frequencies = partial(
        ramped,
        factor=factor,
        original_length=original,
        fast_turns=p.get("beta_fast", 32.0),
        slow_turns=p.get("beta_slow", 1.0),
        truncate=p.get("truncate", True),
    )
    attention = log_attention_factor(factor)
    if p.get("mscale") and p.get("mscale_all_dim"):
        above, below = (log_attention_factor(factor, slope=p[key]) for key in ("mscale", "mscale_all_dim"))
        attention = above / below
    return {"frequencies": frequencies, "attention_factor": p.get("attention_factor", attention)}


def _longrope(p: Parameters) -> dict[str, Any]:
    original = p["original_max_position_embeddings"]
    factor = p["factor"] if "factor" in p else p["max_position_embeddings"] / original
    divisors = p["long_factor"] if p.get("length", original) > original else p["short_factor"]
    attention = root_attention_factor(factor, original_length=original)
    return {
        "frequencies": partial(divided, divisors=tuple(divisors)),
        "attention_factor": p.get("attention_factor", attention),
    }


def _llama3(p: Parameters) -> dict[str, Any]:
    frequencies = partial(
        blended,
        factor=p["factor"],
        original_length=p["original_max_position_embeddings"],
        slow_turns=p["low_freq_factor"],
        fast_turns=p["high_freq_factor"],
    )
    return {"frequencies": frequencies}


def _proportional(p: Parameters) -> dict[str, Any]:
    pairs = int(p.get("partial_rotary_factor", 1.0) * p["head_dim"] // 2)
    frequencies = partial(leading, pairs=pairs, factor=p.get("factor", 1.0))
    return {"frequencies": frequencies, "rotary_dim": p["head_dim"]}


# "mrope" and "su" are older spellings.
READERS: Mapping[str, Callable[[Parameters], dict[str, Any]]] = {
    "default": _default,
    "mrope": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "yarn": _yarn,
    "longrope": _longrope,
    "su": _longrope,
    "llama3": _llama3,
    "proportional": _proportional,
}

# A key outside this set would change the frequencies of some model in a way that nobody here has read.
KNOWN = set(
    "rope_type type rope_theta factor original_max_position_embeddings max_position_embeddings partial_rotary_factor "
    "attention_factor beta_fast beta_slow mscale mscale_all_dim truncate short_factor long_factor low_freq_factor "
    "high_freq_factor mrope_section mrope_interleaved interleaved".split()
)


def read_rope(config: Mapping[str, Any], *, layer_type: str | None = None, length: int | None = None) -> Rope:
    """The Rope of a config; the family adds what configs do not say (``dataclasses.replace(rope, pairing=...)``).

    layer_type: which entry of ``rope_parameters`` to read where they are listed by type of layer.
    length: the longest sequence the model will see, by which "dynamic" and "longrope" choose their frequencies once
      (transformers chooses at every call); None stands for what the config holds under that name, and where it holds
      nothing for one that pretraining has seen.
    Raises ValueError for an unknown rope_type, unknown or missing keys. A missing rope_theta is such a case: published
    models differ, so a family whose files leave it out passes ``{"rope_theta": 10_000.0, **config}``.
    """
    p = _flat(config, layer_type)
    if length is not None:
        p["length"] = length
    if p["rope_type"] not in READERS:
        raise ValueError(f"unknown rope_type {p['rope_type']!r}; known are {', '.join(READERS)}")
    if "head_dim" not in p:
        p["head_dim"] = p["hidden_size"] // p["num_attention_heads"]
    fields = {"rotary_dim": int(p["head_dim"] * p.get("partial_rotary_factor", 1.0)), **READERS[p["rope_type"]](p)}
    sections = tuple(p["mrope_section"]) if "mrope_section" in p else None
    arrange = interleaved if p.get("mrope_interleaved") else contiguous
    return Rope(p["head_dim"], p["rope_theta"], sections, arrange=arrange, **fields)


def _flat(config: Mapping[str, Any], layer_type: str | None) -> Parameters:
    """The config's own keys under those of its rotary parameters, in either layout; keys that hold None are dropped."""
    parameters = config.get("rope_scaling") or config.get("rope_parameters") or {}
    by_layer = [key for key, value in parameters.items() if isinstance(value, Mapping)]
    if by_layer:
        if layer_type not in by_layer:
            raise ValueError(f"rope_parameters are listed by layer type {by_layer}, found layer_type {layer_type!r}")
        parameters = parameters[layer_type]
    if unknown := sorted(set(parameters) - KNOWN):
        raise ValueError(f"rope_parameters hold {unknown[0]!r}, which is not understood; known are {sorted(KNOWN)}")
    p = Parameters({key: value for key, value in {**config, **parameters}.items() if value is not None})
    p.setdefault("rope_type", p.get("type", "default"))
    if "max_position_embeddings" in p:
        p.setdefault("original_max_position_embeddings", p["max_position_embeddings"])
    return p
