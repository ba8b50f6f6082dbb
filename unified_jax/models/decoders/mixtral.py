"""Mixtral: Mistral with eight experts in place of the feed-forward layer (arXiv:2401.04088, section 2)."""

from functools import partial

from unified_jax.core.types import DTypeLike
from unified_jax.interop.rules import Rule
from unified_jax.models.decoders import llama
from unified_jax.models.decoders.causal_lm import Decoder
from unified_jax.models.published import Config
from unified_jax.nn.mlp import find_activation
from unified_jax.nn.moe import Moe
from unified_jax.nn.moe_block import MoeBlock


def mixtral(config: Config, *, dtype: DTypeLike) -> Decoder:
    """``MixtralForCausalLM``."""
    experts = partial(
        Moe,
        num_experts=config["num_local_experts"],
        top_k=config["num_experts_per_tok"],
        hidden=config["intermediate_size"],
        activation=find_activation(config["hidden_act"]),
        dtype=dtype,
    )
    stack = llama.stack(config, block=MoeBlock, mlp=experts, windows=llama.everywhere(config), dtype=dtype)
    return Decoder(stack, RULES)


RULES = (
    *llama.TOKENS,
    *llama.ATTENTION,
    *llama.NORMS,
    Rule(f"{llama.LAYER}.block_sparse_moe.gate.weight", "backbone/layer/mlp_main/router/kernel", "e d -> d e"),
    *(
        Rule(
            rf"{llama.LAYER}.block_sparse_moe.experts.(\d+).{published}.weight",
            f"backbone/layer/mlp_main/experts/{ours}/kernel",
            "f d -> d f",
        )
        for published, ours in (("w1", "gate"), ("w3", "up"), ("w2", "down"))
    ),
)
