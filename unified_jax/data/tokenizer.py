"""Text <-> ids: byte-level BPE (``tokenizers``), so that no input is unrepresentable."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from unified_jax.core.files import write_text

SPECIAL = ("<pad>", "<bos>", "<eos>", "<boi>", "<eoi>", "<turn>")


class Tokenizer:
    """A trained vocabulary. Special tokens: ``tokenizer.special["<bos>"]`` and so on; text never encodes to one."""

    def __init__(self, backend: tokenizers.Tokenizer):
        self._backend = backend
        self._backend.encode_special_tokens = True  # names of special tokens inside user text stay text
        missing = [token for token in SPECIAL if backend.token_to_id(token) is None]
        if missing:
            raise ValueError(f"the tokenizer lacks the special tokens {', '.join(missing)}")
        self.special = {token: backend.token_to_id(token) for token in SPECIAL}

    @classmethod
    def train(cls, texts: Iterable[str], vocab: int = 512) -> "Tokenizer":
        """Learns at most ``vocab`` tokens: the special ones, all 256 bytes, then merges by frequency."""
        backend = tokenizers.Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        backend.decoder = decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        if vocab < len(SPECIAL) + len(alphabet):
            raise ValueError(
                f"vocab {vocab} is too small: bytes and special tokens take {len(SPECIAL) + len(alphabet)}"
            )
        trainer = trainers.BpeTrainer(
            vocab_size=vocab, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
        )
        backend.train_from_iterator(texts, trainer)
        return cls(backend)

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """Reads a ``tokenizer.json``; ValueError names a file that is not one."""
        try:
            return cls(tokenizers.Tokenizer.from_file(str(path)))
        except Exception as error:  # the backend raises bare Exception
            raise ValueError(f"{path}: not a readable tokenizer file ({error})") from None

    def save(self, path: str | Path) -> None:
        """Writes a ``tokenizer.json``, whole or not at all."""
        write_text(Path(path), self._backend.to_str())

    def copy(self) -> tokenizers.Tokenizer:
        """The vocabulary as ``tokenizers`` knows it, to be changed freely."""
        return tokenizers.Tokenizer.from_str(self._backend.to_str())

    @property
    def vocab(self) -> int:
        return self._backend.get_vocab_size()

    def encode(self, text: str) -> np.ndarray:
        """int32 [n]. A special token's name written in the text is text."""
        return np.asarray(self._backend.encode(text, add_special_tokens=False).ids, np.int32)

    def decode(self, ids: Iterable[int | np.integer] | np.ndarray) -> str:
        """The text of the ids, special tokens left out; malformed bytes become U+FFFD."""
        return self._backend.decode([int(i) for i in ids], skip_special_tokens=True).strip()
