"""The published decoders that are compared with transformers: a small random model for each, every option in use."""

import dataclasses
from collections.abc import Callable

import torch
import transformers
from random_weights import redraw

SIZES = dict(
    vocab_size=128,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=1024,
    bos_token_id=None,
    eos_token_id=None,  # nothing ends a text early
    pad_token_id=None,
)
SCALED_ROPE = dict(
    rope_type="llama3",
    rope_theta=5e5,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=128,
)
PICTURES = dict(
    base_channels=32,
    channel_multiplier=[1],
    num_res_blocks=1,
    latent_channels=32,
    embed_dim=8,
    num_embeddings=8,
    resolution=8,
    z_channels=32,
)
CODES = {f"IMGIMG{letter}Z": 4 + i for i, letter in enumerate("ABCDEFGH")}
CHAMELEON = dict(vq_config=PICTURES, vocabulary_map={"<image>": 3, **CODES})


@dataclasses.dataclass(frozen=True)
class Case:
    """name: of the row. model, config: classes of transformers. options: of the config, besides ``SIZES``."""

    name: str
    model: type
    config: Callable
    options: dict = dataclasses.field(default_factory=dict)

    def reference(self) -> torch.nn.Module:
        """The model in float32, with weights that make greedy ids vary.

        What transformers initialises to a constant (norms, biases) is moved off it; matrices are drawn large, and
        embeddings small, or else a tied head would repeat the last id.
        """
        model = self.model(self.config(**SIZES | self.options))
        embedding = model.get_input_embeddings().weight
        return redraw(model, lambda weight: 0.02 if weight is embedding else 0.25)

    @property
    def version(self) -> str:
        return f"transformers {transformers.__version__}, {self.model.__name__}"


CASES = [
    Case("llama", transformers.LlamaForCausalLM, transformers.LlamaConfig),
    Case(
        "llama-scaled-rope",
        transformers.LlamaForCausalLM,
        transformers.LlamaConfig,
        dict(attention_bias=True, mlp_bias=True, tie_word_embeddings=True, head_dim=16, rope_parameters=SCALED_ROPE),
    ),
    Case("qwen2", transformers.Qwen2ForCausalLM, transformers.Qwen2Config),
    Case("qwen3", transformers.Qwen3ForCausalLM, transformers.Qwen3Config, dict(head_dim=16)),
    Case("opt", transformers.OPTForCausalLM, transformers.OPTConfig, dict(ffn_dim=48)),
    Case("phi", transformers.PhiForCausalLM, transformers.PhiConfig),
    Case("persimmon", transformers.PersimmonForCausalLM, transformers.PersimmonConfig, dict(num_key_value_heads=4)),
    Case(
        "gemma2",
        transformers.Gemma2ForCausalLM,
        transformers.Gemma2Config,
        dict(
            head_dim=16,
            sliding_window=100,
            query_pre_attn_scalar=20,
            attn_logit_softcapping=2.0,  # small, so that the caps matter at such weights
            final_logit_softcapping=1.0,
        ),
    ),
    Case(
        "chameleon-qk-norm",
        transformers.ChameleonForConditionalGeneration,
        transformers.ChameleonConfig,
        CHAMELEON | dict(swin_norm=False),
    ),
    Case(
        "chameleon-swin-norm",
        transformers.ChameleonForConditionalGeneration,
        transformers.ChameleonConfig,
        CHAMELEON | dict(swin_norm=True),
    ),
    Case(
        "mixtral",
        transformers.MixtralForCausalLM,
        transformers.MixtralConfig,
        dict(num_local_experts=4, num_experts_per_tok=2),
    ),
    Case(
        "qwen3-moe",
        transformers.Qwen3MoeForCausalLM,
        transformers.Qwen3MoeConfig,
        dict(head_dim=16, num_experts=6, num_experts_per_tok=2, moe_intermediate_size=24, norm_topk_prob=True),
    ),
    Case(
        "qwen3-moe-some-dense",
        transformers.Qwen3MoeForCausalLM,
        transformers.Qwen3MoeConfig,
        dict(
            num_hidden_layers=4,  # dense, experts, dense, dense
            decoder_sparse_step=2,
            mlp_only_layers=[3],
            head_dim=16,
            num_experts=6,
            num_experts_per_tok=2,
            moe_intermediate_size=24,
        ),
    ),
]
