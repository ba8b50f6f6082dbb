"""Fill: produce one blank span against a cache. ``Autoregress`` writes it id by id, ``Integrate`` denoises it whole.

Both see the model only as ``extend(seq, cache) -> (predictions, kv, slots)`` and change the cache only by committing.
What a fill tells its caller: ``lead``, how many entries before the blank it feeds itself; ``room``, how many slots it
may commit; ``kept``, what a row's result means and how many of its entries are committed.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.core.cache import Cache, commit
from unified_jax.core.noise import Rectified
from unified_jax.core.sequence import Interleaved
from unified_jax.core.types import Array, Key, PRNGKeyArray
from unified_jax.sampling import solvers
from unified_jax.sampling.choose import choose
from unified_jax.sampling.guidance import guide

Extend = Callable[[Interleaved, Cache], tuple[dict[str, Array], tuple[Array, Array], Any]]


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the caller wants things filled; static, so each distinct value compiles once.

    steps, shift: solver intervals and time shift of pictures. guidance_scale: 1 uses no null prompt.
    temperature, top_k, top_p: how text ids are chosen; temperature 0 is greedy. max_tokens: most ids of one text.
    image_temperature: the same for pictures made of codes.
    """

    steps: int = 25
    shift: float = 1.0
    guidance_scale: float = 1.0
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    max_tokens: int = 64
    image_temperature: float = 1.0

    def __post_init__(self):
        for name in ("steps", "max_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, found {getattr(self, name)}")
        for name in ("temperature", "image_temperature", "guidance_scale"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, found {getattr(self, name)}")

    @property
    def guided(self) -> bool:
        return self.guidance_scale != 1.0


@dataclasses.dataclass(frozen=True)
class Autoregress:
    """Ids one at a time, each from the state of its predecessor.

    length: how many ids a blank has; None lets it run to one of ``stop`` or max_tokens. allowed: half-open range of ids
    that may be chosen. picture: whether the ids make a picture, whose choice the null rows steer and
    ``image_temperature`` governs; text follows the conditioned rows only.
    """

    stream: str
    allowed: tuple[int, int]
    stop: tuple[int, ...] = ()
    length: int | None = None
    picture: bool = False
    lead = 1

    def room(self, settings: Settings) -> int:
        return self.length or settings.max_tokens

    def kept(self, ids: np.ndarray) -> tuple[np.ndarray, int]:
        """The ids before the stop, and how many entries, the lead included, have been committed."""
        where = np.flatnonzero(np.isin(ids, self.stop))
        return (ids[: where[0]], int(where[0]) + 1) if len(where) else (ids, len(ids))

    def __call__(
        self, extend: Extend, cache: Cache, first: Interleaved, keys: Key[Array, "B"], settings: Settings
    ) -> tuple[Array, Cache]:
        """first: a batch holding just the id before the blank; keys: one for each conditioned row -> ids int32 [B n].

        The cache then holds every id but the last chosen one. Rows that have stopped repeat a stop and commit empty
        slots.
        """
        n, guided, rows = self.room(settings), settings.guided, len(keys)
        ids, stop = jnp.full((rows, n), (*self.stop, 0)[0], jnp.int32), jnp.asarray(self.stop, jnp.int32)

        def unfinished(carry):
            i, *_, done = carry
            return (i < n) & ~done.all()

        def step(carry):
            i, ids, seq, cache, done = carry
            predictions, kv, slots = extend(seq, cache)
            cache = commit(cache, kv, slots)
            logits = predictions[self.stream][:, 0]
            logits = guide(logits, settings.guidance_scale, guided=guided) if self.picture else logits[:rows]
            now = jax.vmap(lambda key: jax.random.fold_in(key, i))(keys)
            chosen = jax.vmap(lambda key, x: self._choose(key, x, settings))(now, logits)
            chosen = jnp.where(done, ids[:, i], chosen)
            ids = ids.at[:, i].set(chosen)
            done = done | jnp.isin(chosen, stop)
            return i + 1, ids, self._advance(seq, chosen, done, guided), cache, done

        done = jnp.zeros((rows,), bool)
        _, ids, _, cache, _ = jax.lax.while_loop(unfinished, step, (jnp.int32(0), ids, first, cache, done))
        return ids, cache

    def _choose(self, rng: PRNGKeyArray, logits: Array, settings: Settings) -> Array:
        index = jnp.arange(logits.shape[-1])
        allowed = (index >= self.allowed[0]) & (index < self.allowed[1])
        temperature = settings.image_temperature if self.picture else settings.temperature
        return choose(rng, logits, temperature=temperature, top_k=settings.top_k, top_p=settings.top_p, allowed=allowed)

    def _advance(self, seq: Interleaved, ids: Array, done: Array, guided: bool) -> Interleaved:
        """The batch that holds the id just chosen, one slot on; finished rows hold an empty slot."""
        ids, done = (jnp.concatenate([x, x]) if guided else x for x in (ids, done))
        ((lane, slots),) = seq.lanes.items()
        slots = slots.replace(
            doc=jnp.where(done[:, None], 0, slots.doc), block=slots.block + 1, pos=slots.pos.at[..., 0].add(1)
        )
        return seq.put(self.stream, values=ids[:, None]).replace(lanes={lane: slots})


@dataclasses.dataclass(frozen=True)
class Integrate:
    """A whole span at once, by integrating the path's velocity from noise to data; nothing is committed."""

    stream: str
    path: Rectified
    lead = 0

    def room(self, settings: Settings) -> int:
        return 0

    def kept(self, values: np.ndarray) -> tuple[np.ndarray, int]:
        return values, 0

    def __call__(
        self, extend: Extend, cache: Cache, blank: Interleaved, keys: Key[Array, "B"], settings: Settings
    ) -> tuple[Array, Cache]:
        """blank: a batch holding just the span -> clean values [B N P], and the cache as it was."""
        shape = blank.streams[self.stream].values.shape[1:]
        twice = lambda x: jnp.concatenate([x, x]) if settings.guided else x
        noise = jax.vmap(lambda key: jax.random.normal(key, shape))(keys)

        def velocity(x, t):
            time = jnp.full(blank.streams[self.stream].time.shape, t)
            predictions, *_ = extend(blank.put(self.stream, values=twice(x), time=time), cache)
            output = self.path.velocity(predictions[self.stream], twice(x), time)
            return guide(output, settings.guidance_scale, guided=settings.guided)

        return solvers.euler(velocity, noise, solvers.times(settings.steps, settings.shift)), cache
