"""BLIP-2's connector: learned queries, the Q-Former that reads for them, a projection (arXiv:2301.12597, section 3)."""

from unified_jax.core.types import DTypeLike
from unified_jax.interop.pairs import dense, under
from unified_jax.interop.rules import Rule
from unified_jax.models.connectors.projector import connector
from unified_jax.models.encoders.blip2 import blip2_qformer, qformer_rules
from unified_jax.models.published import Component, Config, with_defaults
from unified_jax.nn.connectors.q_former import QFormer


def blip2(config: Config, *, dtype: DTypeLike) -> Component:
    """``query_tokens``, ``qformer`` and ``language_projection`` of ``Blip2ForConditionalGeneration``.

    Raises ValueError for a text model of another kind than the published ones.
    """
    config = with_defaults(config, {"num_query_tokens": 32})
    read = blip2_qformer(Config(config["qformer_config"]), dtype=dtype)
    body, sizes = read.module, read.published.config
    kind = config["text_config"].get("model_type", "opt")
    if kind not in WIDTHS:
        raise ValueError(f"text_config of model_type {kind!r}; known are {', '.join(WIDTHS)}")
    features = config["text_config"].get(*WIDTHS[kind])
    module = QFormer(config["num_query_tokens"], sizes["hidden_size"], features, body=body, dtype=dtype)
    rules = (
        Rule("query_tokens", "queries", "1 n d -> n d"),
        *under("qformer.", qformer_rules(body.depth, body.period, ours="body/")),
        *dense("language_projection", "out"),
    )
    roots = ("query_tokens", "qformer.", "language_projection.")
    return connector(module, config, rules=rules, width=sizes["encoder_hidden_size"], roots=roots)


# Of text models: the field, and its value where it is left out.
WIDTHS = {"llama": ("hidden_size", 4096), "opt": ("hidden_size", 768), "t5": ("d_model", 512)}
