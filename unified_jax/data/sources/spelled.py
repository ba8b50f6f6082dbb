"""Spelled: documents of records that spell out their own parts, in the library's words or as a conversation.

    {"parts": [{"image": "cat.png"}, {"text": "What is this?"}, {"text": "A cat.", "target": true}]}
    {"image": "cat.png", "conversations": [{"from": "human", "value": "<image>\\nWhat is this?"},
                                           {"from": "gpt", "value": "A cat."}]}

The second is the layout of LLaVA and ShareGPT (arXiv:2304.08485, section 3): ``<image>`` is the place of a picture.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unified_jax.data.document import BadRecord, Document, Image, Part, Text
from unified_jax.data.sources.example import Example, pixels_of

PLACE = "<image>"
PRODUCED = {"system": False, "human": False, "user": False, "gpt": True, "assistant": True}
PART = {"text", "image", "target"}
SPELLED = ("parts", "conversations", "image", "images")


@dataclasses.dataclass(frozen=True)
class Spelled:
    """A ``to_document`` for records with "parts", or with "conversations" and pictures under "image" or "images".

    folder: where paths of pictures begin. What else a record says in plain values is the document's info.
    Raises BadRecord for a record that is neither, or whose parts are not as above.
    """

    folder: str | Path

    def __call__(self, example: Example) -> Document:
        if "parts" in example:
            parts = [self._part(number, part, example) for number, part in enumerate(_list(example, "parts"))]
        elif "conversations" in example:
            parts = list(self._conversation(example))
        else:
            raise BadRecord(f"a record needs parts or conversations, found {', '.join(example) or 'nothing'}")
        plain = lambda value: isinstance(value, str | int | float)
        return Document(parts, {k: value for k, value in example.items() if k not in SPELLED and plain(value)})

    def _part(self, number: int, part: Any, example: Example) -> Part:
        found = ", ".join(part) if isinstance(part, Mapping) else repr(part)
        if not isinstance(part, Mapping) or ("text" in part) == ("image" in part) or set(part) - PART:
            raise BadRecord(f"part {number} needs text or image, and may say target; found {found}")
        target = part.get("target", False)
        if not isinstance(target, bool):
            raise BadRecord(f"part {number}: target is true or false, found {target!r}")
        if "text" in part:
            return Text(part["text"], target=target)
        return Image(pixels_of(part["image"], example, folder=self.folder), target=target)

    def _conversation(self, example: Example) -> Iterator[Part]:
        found = example.get("images", example.get("image"))
        pictures = found if isinstance(found, list) else [] if found is None else [found]
        turns = [_turn(number, turn) for number, turn in enumerate(_list(example, "conversations"))]
        places = sum(said.count(PLACE) for said, _ in turns)
        if places != len(pictures):
            raise BadRecord(f"the conversation shows {PLACE} {places} times, and has {len(pictures)} pictures")
        waiting = iter(pictures)
        for said, produced in turns:
            before, *after = said.split(PLACE)
            for text, follows_picture in ((before, False), *((text, True) for text in after)):
                if follows_picture:
                    yield Image(pixels_of(next(waiting), example, folder=self.folder), target=produced)
                if text.strip():
                    yield Text(text.strip(), target=produced)


def _list(example: Example, name: str) -> list[Any]:
    if not isinstance(example[name], list) or not example[name]:
        raise BadRecord(f"{name} must be a list that is not empty")
    return example[name]


def _turn(number: int, turn: Any) -> tuple[str, bool]:
    """What was said, and whether by the model."""
    speaker, said = (turn.get("from"), turn.get("value")) if isinstance(turn, Mapping) else (None, None)
    if speaker not in PRODUCED or not isinstance(said, str):
        known = ", ".join(PRODUCED)
        raise BadRecord(f"turn {number} needs a text as value, and from, which is one of {known}; found {turn!r:.80}")
    return said, PRODUCED[speaker]
