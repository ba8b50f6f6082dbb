"""Fill: how one blank span is produced.

    Autoregress   id by id, committing each: text, and pictures of one vocabulary with it
    Integrate     all at once, from noise in steps of a solver
    Refine        all at once, from masks or random ids in passes of a discrete process
    InTurn        entry by entry, ids or vectors, in reading order or one of chance
    InGroups      group by group of vectors, in an order of chance
    NextScale     scale by scale
    Unmask        a text block by block, each from masks in passes

A fill is data. It names what a family's blanks are made of; ``sampling.engine`` serves all rows that wait for the
same kind of work in one call.
"""

import dataclasses
from collections.abc import Callable, Hashable

import jax.numpy as jnp
import numpy as np

from unified_jax.core.discrete import Absorbing, Uniform
from unified_jax.core.noise import Path
from unified_jax.core.types import Array
from unified_jax.data.plan import Span
from unified_jax.sampling.choose import check
from unified_jax.sampling.confidence import Confident
from unified_jax.sampling.constrain import Range
from unified_jax.sampling.guidance import ClassifierFree
from unified_jax.sampling.pick import Id, Vector
from unified_jax.sampling.solvers.euler import Euler
from unified_jax.sampling.solvers.solve import Solver
from unified_jax.sampling.work import Work, one_by_one, whole


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a request wants its blanks filled. Requests with different settings share compiled programs.

    steps, shift: solver intervals and time shift of pictures; steps are also the passes of a text that is uncovered,
    and block how many of its ids are open at a time. guidance_scale: 1 uses no null prompt.
    image_guidance_scale: of the given pictures, where a family guides by them apart from the text; 1 for not at all.
    temperature, top_k, top_p: how ids are chosen; temperature 0 is greedy. image_temperature: in the place of
    temperature for pictures. max_tokens: most ids of one text, or of all texts of an ``Answer``. max_images: most
    pictures of an ``Answer``. stop: a text, and with it an ``Answer``, ends before the first of these strings.
    """

    steps: int = 25
    shift: float = 1.0
    guidance_scale: float = 1.0
    image_guidance_scale: float = 1.0
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    max_tokens: int = 64
    max_images: int = 4
    block: int = 128
    image_temperature: float = 1.0
    stop: tuple[str, ...] = ()

    def __post_init__(self):
        for name in ("steps", "block", "max_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, found {getattr(self, name)}")
        for name in ("temperature", "image_temperature", "guidance_scale", "image_guidance_scale", "max_images"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, found {getattr(self, name)}")
        check(temperature=self.temperature, top_k=self.top_k, top_p=self.top_p)
        if isinstance(self.stop, str) or not all(self.stop):
            raise ValueError(f"stop must be a tuple of strings that are not empty, found {self.stop!r}")

    @property
    def guided(self) -> bool:
        return self.rows > 1

    @property
    def rows(self) -> int:
        """Versions of a document that run side by side: itself, the null prompt, and without its pictures."""
        if self.image_guidance_scale != 1.0:
            return 3
        return 1 if self.guidance_scale == 1.0 else 2


@dataclasses.dataclass(frozen=True)
class Autoregress:
    """Ids one at a time, each from the state of its predecessor.

    length: how many ids a blank has; None lets it run to one of ``ends`` or max_tokens. stop, opens: ids that end a
    text, those that open a picture being ``opens``. allowed: half-open range of ids that may be chosen, or one for each
    position (``sampling.constrain``). picture: whether the ids make a picture, whose choice the null rows steer and
    ``image_temperature`` governs; text follows the conditioned rows only. after: the stream of the entry before the
    blank, None for the same. lead: how many entries before the blank the fill runs itself.
    """

    stream: str
    allowed: Range | tuple[Range, ...]
    stop: tuple[int, ...] = ()
    opens: tuple[int, ...] = ()
    length: int | None = None
    picture: bool = False
    after: str | None = None
    lead = 1

    @property
    def ends(self) -> tuple[int, ...]:
        """The ids after which nothing more is chosen; they are no part of what was written."""
        return self.stop + self.opens

    def room(self, most: int) -> int:
        """How many slots the fill may commit; most: ids of a blank without a length."""
        return self.length or most

    def opened(self, blank: Span, most: int) -> Span:
        """The blank as it is run; most: as in ``room``."""
        return blank

    def group(self, entries: int) -> Hashable:
        """Blanks of one group are filled in one call: all ids of a stream."""
        return type(self), self.stream

    def work(self, entries: int, settings: Settings) -> Work:
        """What a blank of so many entries costs."""
        return one_by_one(entries)


class Whole:
    """What the fills share that make a blank in one call and commit nothing."""

    lead = 0
    picture = True

    @property
    def made(self) -> tuple[str, ...]:
        """The streams that are made; a blank may hold others, which are given."""
        return (self.stream,)

    def room(self, most: int) -> int:
        """How many slots the fill may commit."""
        return 0

    def opened(self, blank: Span, most: int) -> Span:
        """The blank as it is run; most: ids of a text."""
        return blank

    def group(self, entries: int) -> Hashable:
        """Blanks of one group are filled in one call: those of one size."""
        return type(self), self, entries


@dataclasses.dataclass(frozen=True)
class Integrate(Whole):
    """A whole span at once, solved along a path from noise to data; nothing is committed.

    path: what the network was trained on. solver: of ``sampling/solvers``. guidance: how null rows steer it.
    """

    stream: str
    path: Path
    solver: Solver = Euler()
    guidance: ClassifierFree = ClassifierFree()

    def work(self, entries: int, settings: Settings) -> Work:
        """What a blank of so many entries costs."""
        return whole(entries, settings.steps)


@dataclasses.dataclass(frozen=True)
class Refine(Whole):
    """The ids of a whole span at once, in passes of a discrete process from t = 1 to 0; nothing is committed."""

    stream: str
    process: Confident | Absorbing | Uniform

    def work(self, entries: int, settings: Settings) -> Work:
        """What a blank of so many entries costs."""
        return whole(entries, settings.steps)


@dataclasses.dataclass(frozen=True)
class InTurn(Whole):
    """A whole picture entry by entry, each from the state before it; nothing is committed.

    pick: how an entry is chosen. hints: the stream that names each entry's place in the slot before it, where the order
    is one of chance; None for the order in which pictures are written. lead: as in ``Autoregress``.
    """

    stream: str
    pick: Id | Vector
    hints: str | None = None
    lead = 1

    @property
    def made(self) -> tuple[str, ...]:
        """The streams that are made; a blank may hold others, which are given."""
        return (self.stream,) if self.hints is None else (self.stream, self.hints)

    @property
    def slots(self) -> int:
        """Of each entry."""
        return 1 if self.hints is None else 2

    def work(self, entries: int, settings: Settings) -> Work:
        """What a blank of so many entries costs."""
        return self.pick.work(entries, slots=self.slots, steps=settings.steps)


@dataclasses.dataclass(frozen=True)
class InGroups(Whole):
    """A whole picture of vectors in groups of an order of chance, each group at once; nothing is committed.

    entries: that are made; further ones of the blank are only run. features: of a vector. path, times, solver: of the
    way of each from noise to data. growth: share that is made -> share of the guidance (``Brushes.guided``).
    The head has two parts, ``conditions`` and ``denoised``, as ``nn.masked_picture.MaskedHead``.
    """

    stream: str
    entries: int
    features: int
    path: Path
    times: tuple[float, ...]
    solver: Solver
    growth: Callable[[Array], Array] = jnp.ones_like

    def work(self, entries: int, settings: Settings) -> Work:
        """What a blank of so many entries costs. The head's two parts are one here: too much is told for the first."""
        passes = whole(entries, settings.steps)
        return dataclasses.replace(passes, reads=self.entries * (len(self.times) - 1))


@dataclasses.dataclass(frozen=True)
class NextScale(Whole):
    """A whole picture of codes scale by scale, each from all earlier ones; nothing is committed.

    counts: how many entries each scale has. shares: of the guidance, at each scale (``Brushes.guided``); () for all of
    it everywhere.
    """

    stream: str
    counts: tuple[int, ...]
    shares: tuple[float, ...] = ()

    def work(self, entries: int, settings: Settings) -> Work:
        """What a blank of so many entries costs."""
        pairs = sum(n * sum(self.counts[: k + 1]) for k, n in enumerate(self.counts))
        return Work(slots=entries, entries=entries, reads=entries, pairs=pairs)


@dataclasses.dataclass(frozen=True)
class Unmask(Whole):
    """A whole text from masks, block by block from left to right, the surest ids of each first; nothing is committed.

    mask: the id that hides one. stop: ids before which a text ends, whatever comes behind.
    """

    stream: str
    mask: int
    stop: tuple[int, ...] = ()
    picture = False

    def opened(self, blank: Span, most: int) -> Span:
        """The blank with as many masks as the text may have ids; they are its last part."""
        *given, (stream, _) = blank.parts
        return dataclasses.replace(blank, parts=(*given, (stream, np.full(most, self.mask, np.int32))))

    def work(self, entries: int, settings: Settings) -> Work:
        """What a blank of so many entries costs."""
        return whole(entries, settings.steps)


Fill = Autoregress | Integrate | Refine | InTurn | InGroups | NextScale | Unmask
