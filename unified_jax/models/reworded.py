"""Reworded: a published system over a tokenizer that was trained here, from the files of its folder without weights.

    eos_token_id: "<eos>"      a field *_token_id or *_token_index may hold a token, whose id is the tokenizer's
    vocabulary_map             where codes are words (Emu3, Chameleon): their ids, which are behind all others

What comes out is what the family's own function makes of the finished files. ``save_pretrained`` writes them, so that
a trained folder is one like any published.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from unified_jax.core.types import DTypeLike
from unified_jax.data.chat import SPECIAL, ChatTokenizer
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models.model import Model
from unified_jax.models.pretrained import build_published
from unified_jax.models.published_folder import describe

NAMED = ("_token_id", "_token_index")  # what a field is called that holds an id


def reworded(
    tokenizer: Tokenizer,
    files: Mapping[str, Any],
    *,
    special: Mapping[str, str] = SPECIAL,
    added: Sequence[str] = (),
    mapped: Sequence[str] = (),
    template: str | None = None,
    dtype: DTypeLike = "float32",
    **computation: Any,
) -> Model:
    """The model of a folder's JSON files by name, config.json among them.

    special: further tokens by the name a system knows them by, or others than in ``SPECIAL``. added: tokens that it
      knows by their spelling. mapped: those of ``vocabulary_map``. template: of a conversation, in Jinja.
    computation: choices of ``lm.computed``. Raises ValueError as ``build_published``, and where there are more tokens
      than the config has room for.
    """
    words = ChatTokenizer.of(tokenizer, special=SPECIAL | special, added=(*added, *mapped), template=template)
    named = {name: with_ids(fields, words) for name, fields in files.items()}
    config = named.pop("config.json")
    if mapped:
        config = config | {"vocabulary_map": {word: words.special_id(word) for word in mapped}}
    model = build_published(config, describe(named, words), dtype=dtype, **computation)
    room = model.embed["text"].vocab if "text" in model.embed else words.vocab
    if words.vocab > room:
        raise ValueError(f"the tokenizer has {words.vocab} tokens, the config's vocab_size is {room}: enlarge that")
    return model


def with_ids(fields: Any, tokenizer: ChatTokenizer) -> Any:
    """JSON with ids in place of the tokens it names. Raises ValueError for a token that the tokenizer lacks."""
    if not isinstance(fields, Mapping):
        return fields
    is_token = lambda key, value: isinstance(value, str) and key.endswith(NAMED)
    return {
        key: tokenizer.special_id(value) if is_token(key, value) else with_ids(value, tokenizer)
        for key, value in fields.items()
    }
