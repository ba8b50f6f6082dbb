"""ChatTokenizer: the tokenizer of a published language model, with its chat template.

    tokenizer.json, tokenizer_config.json (chat_template, bos_token ...), chat_template.jinja

Templates are Jinja and come with the weights, so they run in Jinja's sandbox.
"""

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import numpy as np
import tokenizers
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import decoders

from unified_jax.core.files import read_json, write_text
from unified_jax.data.tokenizer import Tokenizer

Messages = Sequence[Mapping[str, str]]  # role ("user" or "assistant") and content


# How published systems call the tokens that every tokenizer trained here has.
SPECIAL = {
    "bos_token": "<bos>",
    "eos_token": "<eos>",
    "pad_token": "<pad>",
    "boi_token": "<boi>",
    "eoi_token": "<eoi>",
}


class ChatTokenizer:
    """backend: None for weights that came without a tokenizer, whose text is then ids written as numbers.

    template: Jinja source; None for a model that was not trained to chat. stop: the ids that end a text. special: the
    named tokens a template may use (bos_token, eos_token). add_bos: whether plain text begins with bos_token.
    """

    def __init__(
        self,
        backend: tokenizers.Tokenizer | None,
        *,
        stop: tuple[int, ...] = (),
        template: str | None = None,
        special: Mapping[str, str] | None = None,
        add_bos: bool = False,
    ):
        self._backend, self.stop, self.template, self.add_bos = backend, stop, template, add_bos
        self.special = dict(special or {})
        self._template = _environment().from_string(template) if template else None

    @classmethod
    def of(
        cls, tokenizer: Tokenizer, *, special: Mapping[str, str], added: Iterable[str] = (), template: str | None = None
    ) -> "ChatTokenizer":
        """One that was trained here, with those tokens of ``special`` and ``added`` behind its own that it lacks.

        special: eos_token among them, which ends a text.
        """
        backend = tokenizer.copy()
        known = backend.get_vocab()
        backend.add_special_tokens([token for token in (*special.values(), *added) if token not in known])
        # It begins every text with a space, which nobody wrote.
        backend.decoder = decoders.Sequence([backend.decoder, decoders.Strip(" ", 1, 0)])
        stop = (backend.token_to_id(special["eos_token"]),)
        return cls(backend, stop=stop, template=template, special=special, add_bos=True)

    @classmethod
    def load(cls, path: str | Path, *, stop: tuple[int, ...] = ()) -> "ChatTokenizer":
        """Reads a published folder; one without ``tokenizer.json`` gives a tokenizer of ids only."""
        path = Path(path)
        if not (path / "tokenizer.json").is_file():
            return cls(None, stop=stop)
        try:
            backend = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
        except Exception as error:  # the backend raises bare Exception
            raise ValueError(f"{path / 'tokenizer.json'}: not a readable tokenizer file ({error})") from None
        file = path / "tokenizer_config.json"
        config = read_json(file) if file.is_file() else {}
        # add_bos_token is no token's name but true or false.
        named = {key: x for key, x in config.items() if key.endswith("_token") and isinstance(x, str | Mapping)}
        special = {key: _content(x) for key, x in named.items() if x}
        template, file = config.get("chat_template"), path / "chat_template.jinja"
        template = file.read_text(encoding="utf-8") if file.is_file() else template
        return cls(backend, stop=stop, template=template, special=special, add_bos=config.get("add_bos_token", False))

    def speaking(self, template: str | None) -> "ChatTokenizer":
        """The same words under another chat template; None for none, with which texts simply follow each other."""
        options = dict(stop=self.stop, special=self.special, add_bos=self.add_bos)
        return ChatTokenizer(self._backend, template=template, **options)

    @property
    def vocab(self) -> int:
        """How many tokens there are, added ones too."""
        return 0 if self._backend is None else self._backend.get_vocab_size()

    def save(self, path: str | Path) -> None:
        """Writes what ``load`` reads into the folder, each file whole or not at all."""
        if self._backend is None:
            return
        path = Path(path)
        write_text(path / "tokenizer.json", self._backend.to_str())
        config = {**self.special, "add_bos_token": self.add_bos}
        write_text(path / "tokenizer_config.json", json.dumps(config, indent=2) + "\n")
        if self.template is not None:
            write_text(path / "chat_template.jinja", self.template)

    def encode(self, text: str, *, markup: bool = False) -> np.ndarray:
        """int32 [n]. markup: whether names of special tokens in the text are those tokens or plain text."""
        if self._backend is None:
            raise ValueError("this checkpoint has no tokenizer.json: give text as ids, Text(..., values=ids)")
        self._backend.encode_special_tokens = not markup
        return np.asarray(self._backend.encode(text, add_special_tokens=False).ids, np.int32)

    def decode(self, ids: Iterable[int | np.integer] | np.ndarray) -> str:
        """The text of the ids, special tokens left out."""
        ids = [int(i) for i in ids]
        return " ".join(map(str, ids)) if self._backend is None else self._backend.decode(ids)

    def render(self, messages: Messages, *, ask: bool = False) -> str:
        """The conversation as the model was trained on it; ``ask`` opens the assistant's turn.

        Raises ValueError with the template's own words where it refuses the conversation.
        """
        try:
            return self._template.render(messages=messages, add_generation_prompt=ask, **self.special)
        except jinja2.TemplateError as error:
            raise ValueError(f"the chat template refuses this conversation: {error}") from None

    def find(self, name: str) -> int | None:
        """The id of a token by its name (bos_token, boi_token ...) or as it is spelled; None for none."""
        return None if self._backend is None else self._backend.token_to_id(self.special.get(name, name))

    def special_id(self, name: str) -> int:
        """As ``find``. Raises ValueError for none."""
        found = self.find(name)
        if found is None:
            known = ", ".join(self.special) or "none"
            raise ValueError(f"this checkpoint's tokenizer has no {name}, which pictures need; it names {known}")
        return found

    def names_special(self, text: str) -> bool:
        """Whether the text spells a special token, which must not be taken for one."""
        return any(token.content in text for token in self._backend.get_added_tokens_decoder().values())


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    environment.filters["tojson"] = lambda x, **options: json.dumps(x, ensure_ascii=False, **options)
    return environment


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _content(token: Any) -> str:
    return token["content"] if isinstance(token, Mapping) else token
