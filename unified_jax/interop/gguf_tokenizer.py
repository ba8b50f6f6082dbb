"""Tokenizers out of GGUF metadata: byte-level BPE."""

from collections.abc import Mapping
from typing import Any

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

CONTROL, USER_DEFINED = 3, 4  # values of token_type: of the format itself, and whole words added to the vocabulary


def _byte_level() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def _digits_first() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _byte_level()])


# By tokenizer.ggml.pre: how text is cut before merging.
PRE_TOKENIZERS = {"gpt-2": _byte_level, "smollm": _digits_first}


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
