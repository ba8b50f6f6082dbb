"""generate: fill the blanks of documents, one after another, against a cache.

For every blank: the given spans before it are run and committed; the blank is filled by the family's own fill; what
was made becomes given. A Python loop over spans around jitted functions of bucketed static shapes, so that after one
request of each shape nothing compiles again.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.core.cache import Cache, commit, empty
from unified_jax.core.sequence import Interleaved
from unified_jax.core.types import Array, Key, PRNGKeyArray
from unified_jax.data.document import Document, Image, Part, Text, check_prompt
from unified_jax.data.pack import Cursor, Layout, pack
from unified_jax.data.plan import Span, count, skip
from unified_jax.sampling.fill import Autoregress, Integrate, Settings

SLOTS = 16  # given spans are padded to a multiple of this
SMALLEST_CACHE = 64  # caches hold this many slots times a power of two


def generate(
    model, params: Any, document: Sequence[Part], *, rng: PRNGKeyArray | None = None, **settings: Any
) -> Document:
    """The document with every blank target filled in; see ``generate_batch``."""
    return generate_batch(model, params, [document], rng=rng, **settings)[0]


def generate_batch(
    model,
    params: Any,
    documents: Sequence[Sequence[Part]],
    *,
    rng: PRNGKeyArray | None = None,
    batch_size: int = 32,
    **settings: Any,
) -> list[Document]:
    """Documents with their blank targets filled, in the order given.

    model: anything with ``__call__(seq, cache)``, ``read`` and a ``family``. rng: one key for the whole call; each
      document draws from its own fold of it, so the result does not depend on its neighbours in the batch.
    settings: fields of ``sampling.fill.Settings`` (steps, guidance_scale, temperature, top_k, top_p, max_tokens...).
    Raises ValueError for a document with nothing to fill, an unusable part, or an impossible setting.
    """
    names = {field.name for field in dataclasses.fields(Settings)}
    if unknown := set(settings) - names:
        raise ValueError(f"unknown setting {sorted(unknown)[0]!r}; settings are {', '.join(sorted(names))}")
    chosen, rng = Settings(**settings), jax.random.key(0) if rng is None else rng
    prompts = model.family.encode([check_prompt(document) for document in documents], params)
    groups: dict[Any, list[int]] = {}
    for i, prompt in enumerate(prompts):
        groups.setdefault(_signature(prompt), []).append(i)
    done: list[Document | None] = [None] * len(prompts)
    for members in groups.values():
        for start in range(0, len(members), batch_size):
            indices = members[start : start + batch_size]
            # Padding to a power of two keeps the number of compiled batch sizes small.
            padded = indices + [indices[-1]] * (_power_of_two(len(indices)) - len(indices))
            keys = jax.vmap(partial(jax.random.fold_in, rng))(jnp.array(padded))
            filled = _fill_all(model, params, [prompts[i] for i in padded], keys, chosen)
            for i, document in zip(indices, filled):
                done[i] = document
    return done


def _fill_all(model, params: Any, prompts: list[Document], keys: Key[Array, "R"], settings: Settings) -> list[Document]:
    """Fills the blanks of documents of one signature; with guidance, their null twins ride along as further rows."""
    family, blanks = model.family, sum(_is_blank(part) for part in prompts[0])
    rows = _Rows(model, params, 2 * len(prompts) if settings.guided else len(prompts))
    documents = list(prompts)
    for _ in range(blanks):
        versions = documents + [family.null(document) for document in documents] if settings.guided else documents
        plans = [_open(family.write(_until_blank(document))) for document in versions]
        keys, now = _split(keys)
        values = rows.fill(family.fills[plans[0][-1].fill], plans, now, settings)
        documents = [_answered(family, params, document, values[i]) for i, document in enumerate(documents)]
    return documents


class _Rows:
    """The rows of one request: the cache, and how far each row's document has been committed."""

    def __init__(self, model, params: Any, rows: int):
        self.model, self.params = model, params
        self.committed = [0] * rows
        self.length = 0
        self.cache: Cache | None = None

    def fill(
        self, fill: Autoregress | Integrate, plans: list[list[Span]], keys: Key[Array, "R"], settings: Settings
    ) -> list[np.ndarray]:
        """plans: for every row, its spans up to the blank, which is the last -> the blank's values, a row each."""
        places = [skip(plan[:-1], done) for plan, done in zip(plans, self.committed)]
        cursors = [cursor for cursor, _ in places]
        given, lead = zip(*(_hold_back(spans, fill.lead) for _, spans in places))
        self._prefill(given, cursors)
        seq = self._segment(lead if fill.lead else [plan[-1:] for plan in plans], cursors)
        room = fill.room(settings)
        self._reserve(seq, room)
        values, self.cache = _run(self.model, fill, settings, self.params, self.cache, seq, keys)
        # A loop may end early, when every row has stopped; counting its whole room keeps later shapes the same.
        self.length += room
        self.cache = self.cache.replace(length=jnp.asarray(self.length, jnp.int32))
        kept = [fill.kept(row) for row in np.asarray(values)]
        for i, spans in enumerate(given):
            self.committed[i] += count(spans) + kept[i % len(kept)][1]
        return [row for row, _ in kept]

    def _prefill(self, rows: Sequence[list[Span]], cursors: list[Cursor]) -> None:
        """Runs and commits given spans; advances the cursors."""
        longest = max(count(spans) for spans in rows)
        if not longest:
            return
        seq = self._segment(rows, cursors, -(-longest // SLOTS) * SLOTS)
        slots = next(iter(seq.lanes.values())).capacity
        self._reserve(seq, slots)
        self.cache = _prefill(self.model, self.params, self.cache, seq)
        self.length += slots

    def _segment(self, rows: Sequence[list[Span]], cursors: list[Cursor], slots: int | None = None) -> Interleaved:
        """One document piece for each row, padded to ``slots``; only the streams that occur."""
        streams, slots = self.model.family.streams, slots or max(count(spans) for spans in rows)
        room: dict[str, int] = {}
        for spans in rows:
            for span in spans:
                for stream in span.sizes():
                    room[stream] = slots
        lanes = {streams[name].lane: slots for name in streams}
        return pack([[spans] for spans in rows], streams, Layout(lanes, room), cursors=cursors)

    def _reserve(self, seq: Interleaved, slots: int) -> None:
        """Makes sure that ``slots`` more fit the cache; its shape comes from running ``seq``."""
        capacity = SMALLEST_CACHE * _power_of_two(-(-(self.length + slots) // SMALLEST_CACHE))
        if self.cache is None:
            _, kv, _ = jax.eval_shape(partial(_extend, self.model), self.params, seq)
            self.cache = empty(kv, capacity)
        elif self.cache.capacity < capacity:
            self.cache = _grow(self.cache, capacity)


def _extend(model, params: Any, seq: Interleaved, cache: Cache | None = None):
    """Predictions at ``read``, and the keys, values and slots that committing would add."""

    def run(module, seq, cache):
        output = module(seq, cache)
        return module.read(output, seq), output.kv, output.slots

    return model.apply({"params": params}, seq, cache, method=run)


@partial(jax.jit, static_argnums=0, donate_argnums=2)
def _prefill(model, params: Any, cache: Cache, seq: Interleaved) -> Cache:
    output = model.apply({"params": params}, seq, cache)
    return commit(cache, output.kv, output.slots)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _run(model, fill, settings: Settings, params: Any, cache: Cache, seq: Interleaved, keys: Key[Array, "R"]):
    return fill(lambda seq, cache: _extend(model, params, seq, cache), cache, seq, keys, settings)


@partial(jax.jit, static_argnums=1)
def _grow(cache: Cache, capacity: int) -> Cache:
    more = capacity - cache.capacity
    pad = lambda x, axis: jnp.pad(x, [(0, more if i == axis else 0) for i in range(x.ndim)])
    return cache.replace(kv=tuple(pad(x, 3) for x in cache.kv), slots=jax.tree.map(lambda x: pad(x, 1), cache.slots))


@jax.jit
def _split(keys: Key[Array, "R"]) -> tuple[Key[Array, "R"], Key[Array, "R"]]:
    both = jax.vmap(jax.random.split)(keys)
    return both[:, 0], both[:, 1]


def _answered(family, params: Any, document: Document, values: np.ndarray) -> Document:
    """The document with its first blank replaced by what was made."""
    parts = list(document)
    index = next(i for i, part in enumerate(parts) if _is_blank(part))
    made = family.text(values) if isinstance(parts[index], Text) else family.image(values, params)
    return Document([*parts[:index], made, *parts[index + 1 :]], document.info)


def _is_blank(part: Part) -> bool:
    empty_text = isinstance(part, Text) and part.text is None
    return part.target and (empty_text or (isinstance(part, Image) and part.pixels is None and part.values is None))


def _until_blank(document: Document) -> Document:
    index = next(i for i, part in enumerate(document) if _is_blank(part))
    return Document(document[: index + 1], document.info)


def _open(spans: list[Span]) -> list[Span]:
    """Without the noised copies that only training shows."""
    return [span for span in spans if not span.private or span.fill is not None]


def _hold_back(spans: list[Span], keep: int) -> tuple[list[Span], list[Span]]:
    """The spans but for their last ``keep`` entries, and those entries (of a causal span of one stream)."""
    if not keep:
        return spans, []
    *head, last = spans
    ((stream, values),) = last.parts
    if len(values) > keep:
        head = [*head, dataclasses.replace(last, parts=((stream, values[:-keep]),))]
    return head, [dataclasses.replace(last, parts=((stream, values[-keep:]),))]


def _signature(document: Document) -> Any:
    """What must agree for documents to share a batch: which parts are blank, and of what kind."""
    return tuple(type(part).__name__ for part in document if _is_blank(part))


def _power_of_two(n: int) -> int:
    return 1 << max(0, n - 1).bit_length()
