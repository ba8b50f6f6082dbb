"""Tick: one call of a jitted loop for all jobs of a group, from the jobs' own numbers to their results.

The host's numbers are the truth; they become arrays with an entry for each row of the cache at every tick. Rows of no
job in the group stay inactive.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from unified_jax.core.cache import Cache
from unified_jax.data.document import Part
from unified_jax.data.pack import Layout, pack
from unified_jax.data.plan import Cursor, Span, sizes
from unified_jax.sampling.choose import ALL
from unified_jax.sampling.draw import STEPS, Brushes, draw
from unified_jax.sampling.fill import Autoregress, InGroups, Integrate, InTurn, NextScale, Refine, Unmask
from unified_jax.sampling.in_groups import in_groups
from unified_jax.sampling.in_turn import in_turn
from unified_jax.sampling.next_scale import next_scale
from unified_jax.sampling.prefill import power_of_two
from unified_jax.sampling.refine import refine
from unified_jax.sampling.requests import Job, Row
from unified_jax.sampling.unmask import unmask
from unified_jax.sampling.write import Manners, Pens, write


@dataclasses.dataclass(frozen=True)
class Result:
    """A filled blank: its values [n ...], and its text where a stop string cut it."""

    job: Job
    values: np.ndarray
    text: str | None = None

    def put(self) -> Part:
        """Puts the result into its document; returns what is new of it."""
        return self.job.answer(self.values, self.text)


def write_ids(
    model: Any, params: Any, *, cache: Cache, jobs: Sequence[Job], steps: int, enough: int
) -> tuple[list[Result], Cache]:
    """Up to ``steps`` more ids in every job; the call ends early when ``enough`` rows have come to an end."""
    spread, fills = _Spread(jobs, len(cache.length)), _fills_of(model, jobs[0].fill.stream)
    streams = model.family.streams
    lead, steering, null = spread(_lead), spread(lambda job, row: job.fill.picture, 0), spread(_null)
    pens = Pens(
        id=spread(lambda job, row: job.ids[-1] if job.ids else _before(job, row, stream=None), 0),
        before={
            name: spread(partial(_before, stream=name), np.zeros(streams[name].shape, streams[name].dtype))
            for name in sorted({fill.after for fill in fills} - {None})
        },
        block=spread(lambda job, row: row.cursor.block + len(job.ids), 0),
        index=spread(lambda job, row: row.cursor.index + len(job.ids), 0),
        at=spread(lambda job, row: len(job.ids), 0),
        active=spread(lambda job, row: True, False),
    )
    manners = Manners(
        key=spread.keys(),
        fill=spread(lambda job, row: fills.index(job.fill), 0),
        limit=spread(lambda job, row: job.room, 1),
        **_choice(spread),
        scale=spread(lambda job, row: job.settings.guidance_scale, 1.0),
        null=np.where(steering, null, np.arange(len(null))),
        lead=lead,
    )
    ids, after, cache = write(
        model,
        params,
        fills=fills,
        cache=cache,
        pens=pens,
        manners=manners,
        steps=np.int32(steps),
        enough=np.int32(enough),
    )
    ids, at, active = np.asarray(ids), np.asarray(after.at), np.asarray(after.active)
    results = []
    for job in jobs:
        number = job.rows[0].number
        job.ids.extend(ids[number, : at[number] - len(job.ids)].tolist())
        if result := _result(job, done=not active[number]):
            results.append(result)
    return results, cache


def draw_whole(
    model: Any, params: Any, *, cache: Cache, jobs: Sequence[Job], steps: int, enough: int, loop: Callable[..., Any]
) -> tuple[list[Result], Cache]:
    """The blanks of every job, whole; a loop is not interrupted. loop: what the fill runs, like ``draw``."""
    spread, fill, streams = _Spread(jobs, len(cache.length)), jobs[0].fill, model.family.streams
    blanks, cursors = [[] for _ in cache.length], [Cursor() for _ in cache.length]
    for job in jobs:
        for row in job.rows:
            blanks[row.number], cursors[row.number] = [*row.lead, row.blank], row.cursor
    room, lanes = _room(blanks, made=fill.made), Counter()
    for stream, n in room.items():
        lanes[streams[stream].lane] += n
    brushes = Brushes(
        key=spread.keys(),
        steps=spread(lambda job, row: job.settings.steps, 1),
        shift=spread(lambda job, row: job.settings.shift, 1.0),
        block=spread(lambda job, row: job.settings.block, 1),
        **_choice(spread),
        scale=spread(lambda job, row: job.settings.guidance_scale, 1.0),
        null=spread(_null),
        image_scale=spread(lambda job, row: job.settings.image_guidance_scale, 1.0),
        blind=spread(_blind),
        lead=spread(_lead),
    )
    most = STEPS * power_of_two(-(-int(brushes.steps.max()) // STEPS))
    blank = pack([[spans] for spans in blanks], streams, Layout(lanes, room), cursors=cursors)
    values = np.asarray(loop(model, params, fill=fill, cache=cache, blank=blank, brushes=brushes, most=most))
    return [Result(job, values[job.rows[0].number]) for job in jobs], cache


def unmask_texts(model: Any, params: Any, **tick: Any) -> tuple[list[Result], Cache]:
    """The texts of every job, whole, each up to where it ends; tick: as in ``draw_whole``."""
    results, cache = draw_whole(model, params, loop=unmask, **tick)
    return [_ended(result) for result in results], cache


def _ended(result: Result) -> Result:
    """The text up to its first id of ``stop``, or before its first string of those."""
    last = np.flatnonzero(np.isin(result.values, result.job.fill.stop))
    ids = result.values[: last[0]] if last.size else result.values
    kept, text = result.job.transcript.end(ids.tolist()) or (len(ids), None)
    return Result(result.job, ids[:kept], text)


def _room(blanks: Sequence[Sequence[Span]], *, made: tuple[str, ...]) -> dict[str, int]:
    """Entries of every stream that all rows have room in. What is given beside what is ``made`` differs from request to
    request; powers of two keep the number of compiled sizes small.
    """
    most = Counter()
    for spans in blanks:
        most |= Counter(sizes(spans))
    return {stream: n if stream in made else power_of_two(n) for stream, n in most.items()}


class _Spread:
    """Numbers of jobs and their rows as one array with an entry for each row of the cache."""

    def __init__(self, jobs: Sequence[Job], rows: int):
        self._pairs, self._rows = [(job, row) for job in jobs for row in job.rows], rows

    def __call__(self, value: Callable[[Job, Row], Any], idle: Any = None) -> np.ndarray:
        """idle: of rows that no job has; their own number unless given."""
        numbers = np.arange(self._rows, dtype=np.int32)
        if idle is not None:
            numbers = np.full((self._rows, *np.shape(idle)), idle)
        for job, row in self._pairs:
            numbers[row.number] = value(job, row)
        return numbers

    def keys(self) -> jax.Array:
        job, _ = self._pairs[0]
        data = np.zeros((self._rows, *jax.random.key_data(job.key).shape), np.uint32)
        for job, row in self._pairs:
            data[row.number] = jax.random.key_data(job.key)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(job.key))


def _lead(job: Job, row: Row) -> int:
    return job.rows[0].number


def _before(job: Job, row: Row, *, stream: str | None) -> Any:
    """The entry before a blank that nothing has been written in, where it is of this stream (None: the fill's own)."""
    return 0 if job.ids or job.fill.after != stream else row.lead[0].parts[0][1][-1]


def _null(job: Job, row: Row) -> int:
    return job.rows[min(1, len(job.rows) - 1)].number


def _blind(job: Job, row: Row) -> int:
    return job.rows[2].number if len(job.rows) > 2 else row.number


def _temperature(job: Job, row: Row) -> float:
    return job.settings.image_temperature if job.fill.picture else job.settings.temperature


def _choice(spread: _Spread) -> dict[str, np.ndarray]:
    """How every row chooses ids."""
    return {
        "temperature": spread(_temperature, 0.0),
        "top_k": spread(lambda job, row: job.settings.top_k or ALL, ALL),
        "top_p": spread(lambda job, row: job.settings.top_p or 1.0, 1.0),
    }


def _fills_of(model: Any, stream: str) -> tuple[Autoregress, ...]:
    """The family's fills that write this stream, which one program serves."""
    fills = model.family.fills.values()
    return tuple(fill for fill in fills if isinstance(fill, Autoregress) and fill.stream == stream)


def _result(job: Job, *, done: bool) -> Result | None:
    """What a job has written, if that is all of it. Its rows then hold every kept id but, at most, the last."""
    ids = job.ids[:-1] if done and job.ids[-1] in job.fill.ends else job.ids
    early = job.transcript.end(ids) if job.transcript is not None else None
    if not done and early is None:
        return None
    kept, text = early or (len(ids), None)
    for row in job.rows:
        row.wrote(min(len(job.ids), kept + 1))
    return Result(job, np.asarray(ids[:kept], np.int32), text)


TICKS: Mapping[type, Callable[..., tuple[list[Result], Cache]]] = {
    Autoregress: write_ids,
    Integrate: partial(draw_whole, loop=draw),
    Refine: partial(draw_whole, loop=refine),
    InTurn: partial(draw_whole, loop=in_turn),
    InGroups: partial(draw_whole, loop=in_groups),
    NextScale: partial(draw_whole, loop=next_scale),
    Unmask: unmask_texts,
}
