"""A conversation in the terminal: each line is a turn, and its answer is shown while it is written."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax

from unified_jax.core.types import PRNGKeyArray
from unified_jax.data.document import Document, Part, Text
from unified_jax.sampling.generate import generate_batch


def converse(
    model: Any, params: Any, lines: Iterable[str], *, given: Sequence[Part] = (), rng: PRNGKeyArray, **settings: Any
) -> Document:
    """The whole conversation after the last line. given: parts that stand before it. settings: as in ``generate``."""
    document = Document(given)
    show = lambda index, part: print(part.text, end="", flush=True)
    for turn, line in enumerate(filter(str.strip, lines)):
        asked = [*document, Text(line.strip()), Text(target=True)]
        key = jax.random.fold_in(rng, turn)
        document = generate_batch(model, params, [asked], rng=key, on_part=show, **settings)[0]
        print()
    return document


def typed() -> Iterator[str]:
    """Lines of standard input, asked for by a sign, until it ends."""
    while True:
        try:
            yield input("> ")
        except EOFError:
            return
