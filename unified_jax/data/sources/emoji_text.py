"""The words of an emoji document: captions, questions with their answers, and edit instructions.

An instruction says enough that, given the picture before, only one picture can be the result.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from unified_jax.data.sources.emoji_assets import Record

KEYWORDS_QUESTION = "Which keywords describe this picture?"
_GENDERED = ("woman", "man", "girl", "boy", "mermaid", "merman")
_GENDERED_PLURAL = ("women", "men")


class Question(NamedTuple):
    """A question about a picture, with its answer; ``kind`` says what it asks about."""

    kind: str
    question: str
    answer: str


def questions(record: Record, *, background: str | None = None) -> tuple[Question, ...]:
    """All questions a record answers; about the background too where its name is given."""
    asked = [Question("group", "Which group does this belong to?", record.category)]
    if record.tones:
        asked.append(Question("skin tone", "What is the skin tone?", " and ".join(record.tones)))
    if record.caption.endswith(("o’clock", "-thirty")):
        asked.append(Question("clock time", "What time does the clock show?", record.caption))
    if background is not None:
        asked.append(Question("background", "What colour is the background?", background))
    return tuple(asked)


def qualify(caption: str, *, style: str | None = None, background: str | None = None) -> str:
    """The caption followed by what else the reader must know to draw it; None leaves a fact out."""
    in_style = f" in the {style} style" if style is not None else ""
    on_background = f" on {_article(background)} background" if background is not None else ""
    return caption + in_style + on_background


def instruction(kind: str, after: Record) -> str:
    """What to do to a picture so that it becomes ``after``. Raises ValueError for an unknown kind of edit."""
    family, _, thing = kind.partition(": ")
    if family not in _INSTRUCTIONS:
        raise ValueError(f"unknown kind of edit {kind!r}: choose among {', '.join(_INSTRUCTIONS)}")
    return _INSTRUCTIONS[family](after, thing)


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _subject(record: Record) -> str:
    """The caption without skin tone, hair and direction, which follow a colon."""
    return record.caption.partition(":")[0]


def _become(after: Record, thing: str) -> str:
    return f"make it {_article(_subject(after))}"


def _skin_tone(after: Record, thing: str) -> str:
    return f"make the skin tone {' and '.join(after.tones) or 'the default yellow'}"


def _gender(after: Record, thing: str) -> str:
    for word in re.findall(r"\w+", _subject(after)):
        if word in _GENDERED:
            return f"make it a {word}"
        if word in _GENDERED_PLURAL:
            return f"make them {word}"
    return "make the gender neutral"


def _hair(after: Record, thing: str) -> str:
    if after.caption.endswith("bald"):
        return "make it bald"
    hair = re.search(r"\w+ hair$", after.caption)
    return f"give it {hair[0] if hair else 'the default hair'}"


def _facing(after: Record, thing: str) -> str:
    return f"turn it to face {'right' if after.caption.endswith('facing right') else 'left'}"


def _colour(after: Record, thing: str) -> str:
    name = after.caption.removesuffix(thing).replace("large", "").strip()
    return f"make the {thing} {'red' if name == 'closed' else name}"  # the only red book is called "closed book"


def _clock(after: Record, thing: str) -> str:
    return f"set the clock to {after.caption}"


def _arrow(after: Record, thing: str) -> str:
    return f"turn the arrow to point {after.caption.removesuffix(' arrow')}"


def _hand(after: Record, thing: str) -> str:
    return f"turn the hand to point {_subject(after).split()[-1]}"


def _shape(after: Record, thing: str) -> str:
    return f"make it a {after.caption.split()[-1]} of the same colour"


def _species(after: Record, thing: str) -> str:
    return f"make it a {'cat' if 'cat' in after.caption.split() else 'human'} face"


# One row per kind of edit in the data; "colour: heart" and its like share the row "colour" and name their thing.
_INSTRUCTIONS: dict[str, Callable[[Record, str], str]] = {
    "skin tone": _skin_tone,
    "gender": _gender,
    "hair": _hair,
    "age": _become,
    "role": _become,
    "facing direction": _facing,
    "colour": _colour,
    "clock time": _clock,
    "moon phase": _become,
    "arrow direction": _arrow,
    "shape (same colour)": _shape,
    "hand direction": _hand,
    "face <-> whole animal/thing": _become,
    "human face <-> cat face": _species,
}
