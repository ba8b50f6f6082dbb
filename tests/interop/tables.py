"""Small published models of the reference, with the tables of rules that read them and the shapes of our side."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers

from unified_jax.interop.rules import Rule

D, F, V, L, H, K, C, E = 16, 24, 40, 3, 4, 2, 4, 4  # L: so many layers that an index is not its own mirror image
SIZES = dict(
    vocab_size=V,
    hidden_size=D,
    intermediate_size=F,
    num_hidden_layers=L,
    num_attention_heads=H,
    max_position_embeddings=64,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)
GROUPED = dict(SIZES, num_key_value_heads=K)
LAYER = r"model.layers.(\d+)."
KERNEL, BIAS, OUT = "(h c) d -> d h c", "(h c) -> h c", "d (h c) -> h c d"


def weights(published: str, ours: str, form: str = "f d -> d f") -> Rule:
    return Rule(LAYER + published, f"layer/{ours}", form)


ENDS = [
    Rule("model.embed_tokens.weight", "embed/embedding"),
    Rule("lm_head.weight", "head/kernel", "v d -> d v"),
]
END_SHAPES = {"embed/embedding": (V, D), "head/kernel": (D, V)}
NORMS = [
    weights("input_layernorm.weight", "attn_norm/scale", "d -> d"),
    weights("post_attention_layernorm.weight", "mlp_norm/scale", "d -> d"),
    Rule("model.norm.weight", "norm/scale"),
]
NORM_SHAPES = {"layer/attn_norm/scale": (L, D), "layer/mlp_norm/scale": (L, D), "norm/scale": (D,)}
ATTENTION = [weights(f"self_attn.{x}_proj.weight", f"{x}/kernel", KERNEL) for x in "qkv"]
ATTENTION += [weights(f"self_attn.{x}_proj.bias", f"{x}/bias", BIAS) for x in "qkv"]
ATTENTION += [weights("self_attn.o_proj.weight", "o/kernel", OUT), weights("self_attn.o_proj.bias", "o/bias", "d -> d")]
HEADS = {"q": H, "k": K, "v": K}
ATTENTION_SHAPES = {f"layer/{x}/kernel": (L, D, heads, C) for x, heads in HEADS.items()} | {
    "layer/o/kernel": (L, H, C, D)
}
BIAS_SHAPES = {f"layer/{x}/bias": (L, heads, C) for x, heads in HEADS.items()}
MLP = [weights(f"mlp.{x}_proj.weight", f"mlp/{x}/kernel") for x in ("gate", "up", "down")]
MLP += [weights(f"mlp.{x}_proj.bias", f"mlp/{x}/bias", "f -> f") for x in ("gate", "up", "down")]
MLP_SHAPES = {"layer/mlp/gate/kernel": (L, D, F), "layer/mlp/up/kernel": (L, D, F), "layer/mlp/down/kernel": (L, F, D)}
MLP_BIASES = {"layer/mlp/gate/bias": (L, F), "layer/mlp/up/bias": (L, F), "layer/mlp/down/bias": (L, D)}

DENSE = ENDS + NORMS + ATTENTION + MLP
DENSE_SHAPES = END_SHAPES | NORM_SHAPES | ATTENTION_SHAPES | MLP_SHAPES

EXPERT = r"block_sparse_moe.experts.(\d+)."
EXPERTS = {"w1": "gate", "w3": "up", "w2": "down"}
MIXTURE = [weights(f"{EXPERT}{theirs}.weight", f"experts/{ours}") for theirs, ours in EXPERTS.items()]
MIXTURE += [weights("block_sparse_moe.gate.weight", "router/kernel", "e d -> d e")]
MIXTURE_SHAPES = {"layer/experts/gate": (L, E, D, F), "layer/experts/up": (L, E, D, F)}
MIXTURE_SHAPES |= {"layer/experts/down": (L, E, F, D)}
MIXTURE_SHAPES |= {"layer/router/kernel": (L, D, E)}

SPARSE = (0, 2)  # the layers with experts; layer 1 is dense
MIXED = ENDS + NORMS + ATTENTION
MIXED += [weights(f"self_attn.{x}_norm.weight", f"{x}_norm/scale", "c -> c") for x in "qk"]
MIXED += [Rule(rf"{LAYER}mlp.{x}_proj.weight", f"dense/{x}", "f d -> d f", layers=(1,)) for x in ("gate", "up", "down")]
MIXED += [Rule(rf"{LAYER}mlp.gate.weight", "sparse/router", "e d -> d e", layers=SPARSE)]
MIXED += [
    Rule(rf"{LAYER}mlp.experts.(\d+).{x}_proj.weight", f"sparse/{x}", "f d -> d f", layers=SPARSE)
    for x in ("gate", "up", "down")
]
MIXED_SHAPES = END_SHAPES | NORM_SHAPES | ATTENTION_SHAPES
MIXED_SHAPES |= {"layer/q_norm/scale": (L, C), "layer/k_norm/scale": (L, C), "sparse/router": (2, D, E)}
MIXED_SHAPES |= {"dense/gate": (1, D, F), "dense/up": (1, D, F), "dense/down": (1, F, D)}
MIXED_SHAPES |= {"sparse/gate": (2, E, D, 12), "sparse/up": (2, E, D, 12), "sparse/down": (2, E, 12, D)}


def layer_norm(published: str, ours: str, at: str = LAYER) -> list[Rule]:
    return [Rule(f"{at}{published}.weight", f"{ours}/scale"), Rule(f"{at}{published}.bias", f"{ours}/bias")]


PARALLEL = ENDS + ATTENTION[:6] + layer_norm("final_layernorm", "norm", "model.")
PARALLEL += layer_norm("input_layernorm", "layer/attn_norm") + [Rule("lm_head.bias", "head/bias")]
PARALLEL += [weights("self_attn.dense.weight", "o/kernel", OUT), weights("self_attn.dense.bias", "o/bias", "d -> d")]
PARALLEL += [weights(f"mlp.{fc}.weight", f"mlp/{x}/kernel") for fc, x in (("fc1", "up"), ("fc2", "down"))]
PARALLEL += [weights(f"mlp.{fc}.bias", f"mlp/{x}/bias", "f -> f") for fc, x in (("fc1", "up"), ("fc2", "down"))]
NORM_PAIR = {"norm/scale": (D,), "norm/bias": (D,), "layer/attn_norm/scale": (L, D), "layer/attn_norm/bias": (L, D)}
TWO_LAYERS = {"layer/mlp/up/kernel": (L, D, F), "layer/mlp/down/kernel": (L, F, D)}
TWO_LAYERS |= {"layer/mlp/up/bias": (L, F), "layer/mlp/down/bias": (L, D), "layer/o/bias": (L, D)}
PARALLEL_SHAPES = END_SHAPES | ATTENTION_SHAPES | BIAS_SHAPES | NORM_PAIR | TWO_LAYERS | {"head/bias": (V,)}

QKV = tuple(f"layer/{x}/kernel" for x in "qkv"), tuple(f"layer/{x}/bias" for x in "qkv")
FUSED = ENDS + layer_norm("final_layernorm", "norm", "model.") + layer_norm("input_layernorm", "layer/attn_norm")
FUSED += layer_norm("post_attention_layernorm", "layer/mlp_norm")
FUSED += layer_norm("self_attn.q_layernorm", "layer/q_norm") + layer_norm("self_attn.k_layernorm", "layer/k_norm")
FUSED += [Rule(f"{LAYER}self_attn.query_key_value.weight", QKV[0], "(h three c) d -> three d h c")]
FUSED += [Rule(f"{LAYER}self_attn.query_key_value.bias", QKV[1], "(h three c) -> three h c")]
FUSED += [weights("self_attn.dense.weight", "o/kernel", OUT), weights("self_attn.dense.bias", "o/bias", "d -> d")]
FUSED += [weights(f"mlp.dense_{x}.weight", f"mlp/{y}/kernel") for x, y in (("h_to_4h", "up"), ("4h_to_h", "down"))]
FUSED += [
    weights(f"mlp.dense_{x}.bias", f"mlp/{y}/bias", "f -> f") for x, y in (("h_to_4h", "up"), ("4h_to_h", "down"))
]
FUSED_SHAPES = END_SHAPES | NORM_PAIR | TWO_LAYERS | {f"layer/{x}/kernel": (L, D, H, C) for x in "qkv"}
FUSED_SHAPES |= {f"layer/{x}/bias": (L, H, C) for x in "qkv"} | {"layer/o/kernel": (L, H, C, D)}
FUSED_SHAPES |= {f"layer/{x}_norm/{y}": (L, C) for x in "qk" for y in ("scale", "bias")}
FUSED_SHAPES |= {f"layer/mlp_norm/{y}": (L, D) for y in ("scale", "bias")}

UNEQUAL = ENDS + NORMS + [ATTENTION[6], MLP[2]]
UNEQUAL += [Rule(f"{LAYER}self_attn.qkv_proj.weight", QKV[0], "[h c] d -> d h c")]
UNEQUAL += [Rule(f"{LAYER}mlp.gate_up_proj.weight", ("layer/mlp/gate/kernel", "layer/mlp/up/kernel"), "[f] d -> d f")]

MOE = dict(GROUPED, num_experts_per_tok=2)


@dataclass(frozen=True)
class Published:
    """One reference model: how to make it, and how its checkpoint is read."""

    model: Callable[..., Any]
    config: Any
    rules: list[Rule]
    shapes: dict[str, tuple[int, ...]]

    def make(self) -> torch.nn.Module:
        """Random weights in every parameter, norms and biases included."""
        model = self.model(self.config()).eval()
        generator = torch.Generator().manual_seed(0)
        for parameter in model.parameters():
            parameter.data.normal_(generator=generator)
        return model


def published(name: str, config: dict[str, Any], rules: list[Rule], shapes: dict[str, tuple[int, ...]]) -> Published:
    make = lambda: getattr(transformers, f"{name}Config")(**config)
    return Published(getattr(transformers, f"{name}ForCausalLM"), make, rules, shapes)


BIASED = DENSE_SHAPES | BIAS_SHAPES | MLP_BIASES | {"layer/o/bias": (L, D)}
TIED = {path: shape for path, shape in BIASED.items() if path != "head/kernel"}
FAMILIES = {
    "llama": published("Llama", GROUPED, DENSE, DENSE_SHAPES),
    "llama-tied": published(
        "Llama", dict(GROUPED, attention_bias=True, mlp_bias=True, tie_word_embeddings=True), DENSE, TIED
    ),
    "qwen2": published("Qwen2", GROUPED, DENSE, DENSE_SHAPES | BIAS_SHAPES),
    "mixtral": published(
        "Mixtral",
        dict(MOE, num_local_experts=E),
        ENDS + NORMS + ATTENTION + MIXTURE,
        END_SHAPES | NORM_SHAPES | ATTENTION_SHAPES | MIXTURE_SHAPES,
    ),
    "qwen3-moe": published(
        "Qwen3Moe",
        dict(MOE, num_experts=E, moe_intermediate_size=12, head_dim=C, mlp_only_layers=[1]),
        MIXED,
        MIXED_SHAPES,
    ),
    "phi": published("Phi", GROUPED, PARALLEL, PARALLEL_SHAPES),
    "persimmon": published("Persimmon", SIZES, FUSED, FUSED_SHAPES),
    "phi3": published("Phi3", GROUPED, UNEQUAL, DENSE_SHAPES),
}
