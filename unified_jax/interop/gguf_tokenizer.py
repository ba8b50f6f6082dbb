"""Tokenizers out of GGUF metadata: byte-level BPE."""

from collections.abc import Mapping
from typing import Any

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

CONTROL, USER_DEFINED = 3, 4  # values of token_type: of the format itself, and whole words added to the vocabulary


def _byte_level() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def _digits_first() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _byte_level()])


# Endings of contractions; letters behind at most one other character; single digits; other signs behind at most one
# space, with the line ends that follow; line ends; spaces, but for the last before a word.
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _as_qwen2() -> pre_tokenizers.PreTokenizer:
    bytes_alone = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN2), "isolated"), bytes_alone])


# By tokenizer.ggml.pre: how text is cut before merging, and what is done to it before that.
PRE_TOKENIZERS = {"gpt-2": _byte_level, "smollm": _digits_first, "qwen2": _as_qwen2}
NORMALIZERS = {"qwen2": normalizers.NFC}


def read_tokenizer(metadata: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """The tokenizer that a GGUF file describes. It adds no tokens of its own; names of control tokens are those tokens.

    Raises ValueError for a kind of tokenizer, or a way of cutting text, that is not known.
    """
    kind, cut = (metadata.get(f"tokenizer.ggml.{key}") for key in ("model", "pre"))
    if kind != "gpt2" or cut not in PRE_TOKENIZERS:
        known = ", ".join(PRE_TOKENIZERS)
        raise ValueError(f"tokenizer {kind!r} with pre-tokenizer {cut!r} is not known; 'gpt2' with {known} is")
    tokens = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = tokenizers.Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = PRE_TOKENIZERS[cut]()
    if cut in NORMALIZERS:
        tokenizer.normalizer = NORMALIZERS[cut]()
    tokenizer.decoder = decoders.ByteLevel()
    types = metadata["tokenizer.ggml.token_type"]
    whole = lambda wanted: [
        tokenizers.AddedToken(token, normalized=False, special=wanted == CONTROL)
        for token, kind in zip(tokens, types)
        if kind == wanted
    ]
    tokenizer.add_special_tokens(whole(CONTROL))
    tokenizer.add_tokens(whole(USER_DEFINED))
    return tokenizer
