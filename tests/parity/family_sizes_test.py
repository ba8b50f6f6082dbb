"""Systems at their published sizes, by shapes alone: the same tensors as the reference class, name by name."""

import math
import re

import jax
import pytest
import torch
import transformers
from words import chat_tokenizer, tokenizer

from configs import llamafusion, transfusion
from unified_jax.core.paths import path_name
from unified_jax.data.chat import ChatTokenizer
from unified_jax.interop.rules import Faults, bound_rules
from unified_jax.models.pretrained import build_published, parameters

EMU3_WORDS = {"<image>": 151_645, "<|extra_200|>": 151_846} | {
    f"<|visual token {i:06}|>": 151_854 + i for i in range(32_768)
}
LETTERS = str.maketrans("0123456789", "ABCDEFGHIJ")
CHAMELEON_WORDS = {"<image>": 8711} | {f"IMGIMG{str(i).translate(LETTERS)}Z": 4 + i for i in range(8192)}
CHAMELEON_34B = dict(
    hidden_size=8192,
    intermediate_size=22016,
    num_hidden_layers=48,
    num_attention_heads=64,
    num_key_value_heads=8,
    swin_norm=True,
)
OPT_2_7B = transformers.OPTConfig(hidden_size=2560, ffn_dim=10_240, num_hidden_layers=32, num_attention_heads=32)
QWEN2_0_5B = transformers.Qwen2Config(
    vocab_size=152_000,
    hidden_size=896,
    intermediate_size=4864,
    num_hidden_layers=24,
    num_attention_heads=14,
    num_key_value_heads=2,
    tie_word_embeddings=True,
)
QWEN2_7B = transformers.Qwen2Config(
    vocab_size=152_128,
    hidden_size=3584,
    intermediate_size=18_944,
    num_hidden_layers=28,
    num_attention_heads=28,
    num_key_value_heads=4,
)


def qwen2_5_vl(
    width: int, hidden: int, depth: int, heads: int, kv_heads: int, **fields: object
) -> transformers.Qwen2_5_VLConfig:
    text = dict(
        hidden_size=width,
        intermediate_size=hidden,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        rope_parameters=dict(rope_type="default", rope_theta=1e6, mrope_section=[16, 24, 24]),
    )
    vision = dict(hidden_size=1280, out_hidden_size=width)
    return transformers.Qwen2_5_VLConfig(text_config=text | fields, vision_config=vision)


def llava(width: int, hidden: int, depth: int, heads: int) -> transformers.LlavaConfig:
    text = dict(hidden_size=width, intermediate_size=hidden, num_hidden_layers=depth, num_attention_heads=heads)
    return transformers.LlavaConfig(text_config=transformers.LlamaConfig(**text, vocab_size=32_064, rms_norm_eps=1e-5))


def janus(width: int, hidden: int, depth: int, heads: int) -> transformers.JanusConfig:
    text = dict(hidden_size=width, intermediate_size=hidden, num_hidden_layers=depth, num_attention_heads=heads)
    return transformers.JanusConfig(
        text_config=transformers.LlamaConfig(**text, vocab_size=102_400),
        vision_config=transformers.JanusVisionConfig(projection_dim=width),
        vq_config=transformers.JanusVQVAEConfig(projection_dim=width, image_token_embed_dim=width),
        tie_word_embeddings=False,
    )


def as_differences(config: transformers.PreTrainedConfig) -> dict:
    """The config as early files hold it: of the text side, only what is not its class's default."""
    found, text = config.to_dict(), getattr(config, "text_config", None)
    if text is not None:
        defaults = type(text)().to_dict()
        told = {key: value for key, value in text.to_dict().items() if defaults.get(key) != value}
        found["text_config"] = {"model_type": text.model_type, **told}
    return found


# Published totals where the model card's safetensors header gives one.
SIZES = {
    "llava-hf/llava-1.5-7b-hf": (
        transformers.LlavaForConditionalGeneration,
        lambda: llava(4096, 11008, 32, 32),
        7_063_427_072,
    ),
    "llava-hf/llava-1.5-13b-hf": (
        transformers.LlavaForConditionalGeneration,
        lambda: llava(5120, 13824, 40, 40),
        None,
    ),
    "deepseek-community/Janus-Pro-1B": (
        transformers.JanusForConditionalGeneration,
        lambda: janus(2048, 5632, 24, 16),
        None,
    ),
    "deepseek-community/Janus-Pro-7B": (
        transformers.JanusForConditionalGeneration,
        lambda: janus(4096, 11008, 30, 32),
        None,
    ),
    "Salesforce/blip2-opt-2.7b": (
        transformers.Blip2ForConditionalGeneration,
        lambda: transformers.Blip2Config(text_config=OPT_2_7B),
        None,
    ),
    "llava-hf/llava-onevision-qwen2-0.5b-ov-hf": (
        transformers.LlavaOnevisionForConditionalGeneration,
        lambda: transformers.LlavaOnevisionConfig(text_config=QWEN2_0_5B),
        None,
    ),
    "llava-hf/llava-onevision-qwen2-7b-ov-hf": (
        transformers.LlavaOnevisionForConditionalGeneration,
        lambda: transformers.LlavaOnevisionConfig(text_config=QWEN2_7B, tie_word_embeddings=False),
        None,
    ),
    "Qwen/Qwen2.5-VL-3B-Instruct": (
        transformers.Qwen2_5_VLForConditionalGeneration,
        lambda: qwen2_5_vl(2048, 11_008, 36, 16, 2, vocab_size=151_936, tie_word_embeddings=True),
        3_754_622_976,
    ),
    "Qwen/Qwen2.5-VL-7B-Instruct": (
        transformers.Qwen2_5_VLForConditionalGeneration,
        lambda: qwen2_5_vl(3584, 18_944, 28, 28, 4),
        8_292_166_656,
    ),
    "BAAI/Emu3": (
        transformers.Emu3ForConditionalGeneration,
        lambda: transformers.Emu3Config(vocabulary_map=EMU3_WORDS),
        None,
    ),
    "adept/fuyu-8b": (transformers.FuyuForCausalLM, transformers.FuyuConfig, None),
    "facebook/chameleon-7b": (
        transformers.ChameleonForConditionalGeneration,
        lambda: transformers.ChameleonConfig(vocabulary_map=CHAMELEON_WORDS),
        None,
    ),
    "facebook/chameleon-30b": (
        transformers.ChameleonForConditionalGeneration,
        lambda: transformers.ChameleonConfig(vocabulary_map=CHAMELEON_WORDS, **CHAMELEON_34B),
        None,
    ),
}


@pytest.mark.parametrize("name", SIZES)
def test_tensors_are_those_of_the_reference(name):
    reference, config, known = SIZES[name]
    config = config()
    with torch.device("meta"):
        tensors = reference(config).state_dict()
    model = build_published(as_differences(config), chat_tokenizer())
    faults, published = Faults(), model.family.published
    shapes = jax.eval_shape(lambda: parameters(model, jax.random.key(0)))
    flat = {path_name(where): leaf for where, leaf in jax.tree_util.tree_leaves_with_path(shapes)}
    bound = bound_rules(published.rules, flat, faults)
    faults.check(name)
    ours = {each_name: each.form.shape for each in bound for each_name in each.names.values()}
    theirs = {published.name_today(key): tuple(x.shape) for key, x in tensors.items()}
    assert ours == {key: shape for key, shape in theirs.items() if not re.fullmatch(published.skip, key)}
    assert known in (None, sum(map(math.prod, ours.values())))


def test_early_configs_of_qwen2_5_vl_hold_the_text_side_among_their_own():
    config = qwen2_5_vl(32, 48, 2, 4, 2, vocab_size=151_936, tie_word_embeddings=True).to_dict()
    text = {key: value for key, value in config.pop("text_config").items() if key != "rope_parameters"}
    told = {"rope_theta": 1e6, "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]}}
    early = {**text, **config, **told, "model_type": "qwen2_5_vl"}
    late = {**config, "text_config": text | {"rope_parameters": {"rope_theta": 1e6, "mrope_section": [1, 1, 2]}}}
    one, other = (build_published(each, chat_tokenizer()) for each in (early, late))
    assert one.backbone.rope == other.backbone.rope and one.backbone.depth == other.backbone.depth == 2
    assert one.embed["text"] == other.embed["text"] and one.heads == other.heads


LLADA_8B = dict(
    model_type="mmada",
    d_model=4096,
    n_heads=32,
    n_kv_heads=32,
    n_layers=32,
    mlp_hidden_size=12288,
    activation_type="silu",
    max_sequence_length=4096,
    rms_norm_eps=1e-5,
    rope_theta=500_000.0,
    vocab_size=134_656,
    codebook_size=8192,
    num_vq_tokens=1024,
    mask_token_id=126_336,
)


def var(depth: int, **fields) -> dict:
    return dict(model_type="var", vae={}, var={"depth": depth, **fields})


def fused(config, variant: str) -> dict:
    """What the config file has for a folder's config.json."""
    fields = config.get_config(variant).published.config.to_dict()
    return fields | dict(boi_token_id=4, eoi_token_id=5)


# Systems without a packaged class: parameters beside the codec's, as the papers or model cards round them.
TOTALS = {
    "Gen-Verse/MMaDA-8B-Base": (LLADA_8B, 8.08e9, 0.005e9),
    "FoundationVision/var d16": (var(16), 310e6, 0.5e6),
    "FoundationVision/var d20": (var(20), 600e6, 1e6),
    "FoundationVision/var d24": (var(24), 1.0e9, 0.05e9),
    "FoundationVision/var d30": (var(30), 2.0e9, 0.05e9),
    "FoundationVision/var d36": (var(36, shared_aln=True), 2.3e9, 0.06e9),
    "Transfusion 0.16B": (fused(transfusion, "v0_16b"), 0.16e9, 0.003e9),  # arXiv:2408.11039, table 2
    "Transfusion 0.37B": (fused(transfusion, "v0_37b"), 0.37e9, 0.004e9),
    "Transfusion 0.76B": (fused(transfusion, "v0_76b"), 0.76e9, 0.018e9),
    "Transfusion 1.4B": (fused(transfusion, "v1_4b"), 1.4e9, 0.036e9),
    "Transfusion 7B": (fused(transfusion, "v7b"), 6_738_415_616, 0.005 * 7e9),  # Llama's; a patch's maps below 0.5%
    "Transfusion 7B, U-Net": (fused(transfusion, "v7b_unet"), 6_738_415_616 + 0.27e9, 0.005e9),  # section 4.1
    # Meta-Llama-3-8B, its layers and last norm once more, and the U-Net.
    "LlamaFusion 8B": (fused(llamafusion, "v8b"), 8_030_261_248 + 6_979_592_192 + 0.27e9, 0.005e9),
}


@pytest.mark.parametrize("name", TOTALS)
def test_totals_are_those_published(name):
    config, known, rounding = TOTALS[name]
    named = {"bos_token": "<s>", "eos_token": "</s>"}
    model = build_published(config, ChatTokenizer(tokenizer().backend_tokenizer, special=named))
    shapes = jax.eval_shape(lambda: parameters(model, jax.random.key(0)))
    total = sum(x.size for name, tree in shapes.items() if name != "codec" for x in jax.tree.leaves(tree))
    assert abs(total - known) <= rounding
