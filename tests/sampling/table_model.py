"""A model that is a table: the exact conditionals of a small joint distribution, behind the interface of a network."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.core import cache as caches
from unified_jax.core.sequence import Interleaved, Payload, Slots
from unified_jax.sampling.choose import ALL
from unified_jax.sampling.draw import Brushes


def joint(n: int, codes: int, seed: int = 0) -> np.ndarray:
    """Probabilities of all ids [codes^n], the first entry the slowest."""
    return np.random.default_rng(seed).dirichlet(np.ones(codes**n))


class Table:
    """Predicts every entry from the others that are no mask. p: as ``joint`` gives it."""

    def __init__(self, p: np.ndarray, *, n: int, codes: int):
        self.n, self.codes = n, codes
        self.states = jnp.asarray(list(itertools.product(range(codes), repeat=n)), jnp.int32)
        self.p = jnp.asarray(p)

    def apart(self, params, cache):
        return params, cache

    def apply(self, variables, seq, cache, method):
        return method(self, seq, cache)

    def __call__(self, seq, cache):
        return Seen(seq.lanes["main"])

    def read(self, output, seq):
        return {"image": jax.vmap(self.logits)(seq.streams["image"].values)}

    def logits(self, ids):
        """[n] -> [n V]: log p(x_i | what is known of the others)."""
        known = ids < self.codes
        agrees = (self.states == ids) | ~known
        # An entry's own id must not decide it.
        others = jnp.stack([agrees.at[:, i].set(True).all(1) for i in range(self.n)])
        weights = jnp.einsum("ns,snv->nv", others * self.p, jax.nn.one_hot(self.states, self.codes))
        return jnp.log(weights / weights.sum(-1, keepdims=True) + 1e-30)


class Seen:
    """An output without states."""

    def __init__(self, slots):
        self.kv, self.slots = (jnp.zeros((1, *slots.doc.shape[:1], 1, slots.capacity, 1)),) * 2, slots


def blank(rows: int, n: int) -> Interleaved:
    """A picture of n entries in every row."""
    zeros = jnp.zeros((rows, n), jnp.int32)
    at = jnp.broadcast_to(jnp.arange(n), (rows, n))
    slots = Slots(doc=zeros + 1, block=zeros, private=zeros > 0, pos=jnp.zeros((rows, n, 3), jnp.int32))
    return Interleaved(
        {"main": slots}, {"image": Payload(zeros, slot=at, read=at, unit=zeros, time=zeros + 0.0, weight=zeros + 1.0)}
    )


def brushes(rows: int, *, steps: int, seed: int = 0, **fields) -> Brushes:
    """One manner for all rows, none of them guided."""
    each = lambda x, dtype=jnp.float32: jnp.full(rows, x, dtype)
    own = jnp.arange(rows, dtype=jnp.int32)
    usual = dict(
        key=jax.random.split(jax.random.key(seed), rows),
        steps=each(steps, jnp.int32),
        shift=each(1.0),
        block=each(128, jnp.int32),
        temperature=each(1.0),
        top_k=each(ALL, jnp.int32),
        top_p=each(1.0),
        scale=each(1.0),
        null=own,
        image_scale=each(1.0),
        blind=own,
        lead=own,
    )
    return Brushes(**{**usual, **fields})


def nothing(rows: int) -> caches.Cache:
    """A cache in which nothing is, of a model without layers."""
    kv = jnp.zeros((1, rows, 1, 1, 1))
    return caches.empty((kv, kv), 1)


class OrderedTable(Table):
    """Predicts the next entry from those that were committed, wherever they stand.

    What a slot held is kept where a network keeps keys: in the cache, as (index, code + 1, place + 1) of ``pos``.
    """

    def apply(self, variables, *args, method=None):
        return self(*args) if method is None else method(self)

    def __call__(self, seq, cache):
        slots = seq.lanes["main"]
        held = jnp.pad(jnp.zeros_like(slots.pos), [(0, 0), (0, 1), (0, 0)])  # padding entries go to the spare slot
        row = jnp.arange(len(held))[:, None]
        for axis, name in ((1, "image"), (2, "place")):
            if name in seq.streams:
                payload = seq.streams[name]
                held = held.at[row, payload.slot, axis].set(payload.values + 1)
        slots = slots.replace(pos=held[:, :-1])
        seen = Seen(slots)
        used = (cache.slots.doc > 0)[..., None]
        seen.before = jnp.concatenate([jnp.where(used, cache.slots.pos, 0), slots.pos], 1)
        return seen

    def read(self, output, seq):
        return {"image": jax.vmap(self._next)(output.before)[:, None]}

    def _next(self, before):
        """[S 3] -> [V]. The k-th code stands in the k-th place that was named, or in place k where none was."""
        codes, places = before[:, 1], before[:, 2]
        nth = lambda x: jnp.where(x > 0, jnp.cumsum(x > 0) - 1, self.n)
        named = jnp.arange(self.n + 1).at[nth(places)].set(places - 1)
        known = jnp.full(self.n + 1, self.codes).at[named[nth(codes)]].set(codes - 1)
        return self.logits(known[: self.n])[named[(codes > 0).sum()]]


def in_pairs(rows: int, n: int, *, hints: bool) -> Interleaved:
    """A picture of n entries behind one slot of text, each entry behind a hint of its place if there are ``hints``."""
    each = 1 + hints
    at = lambda first, count, step=1: jnp.broadcast_to(first + step * jnp.arange(count), (rows, count))
    zeros = jnp.zeros((rows, n), jnp.int32)
    slots = Slots(
        doc=at(0, 1 + each * n) * 0 + 1,
        block=at(0, 1 + each * n),
        private=at(0, 1 + each * n) < 0,
        pos=jnp.zeros((rows, 1 + each * n, 3), jnp.int32),
    )
    entries = lambda slot: Payload(zeros, slot=slot, read=slot - 1, unit=zeros, time=zeros + 0.0, weight=zeros + 1.0)
    streams = {"image": entries(at(each, n, each))}
    return Interleaved({"main": slots}, streams | ({"place": entries(at(1, n, 2))} if hints else {}))


class ScaleTable(Table):
    """Predicts a scale's entries from those of the scales that were committed."""

    def apply(self, variables, *args, method=None):
        return method(self, *args)

    def __call__(self, seq, cache):
        seen = Seen(seq.lanes["main"])
        seen.ids, seen.known = seq.streams["image"].values, cache.length
        return seen

    def read(self, output, asked):
        count = asked.streams["image"].slot.shape[1]

        def scale(ids, known):
            logits = self.logits(jnp.where(jnp.arange(self.n) < known, ids, self.codes))
            return jax.lax.dynamic_slice_in_dim(logits, known, count)

        return {"image": jax.vmap(scale)(output.ids, output.known)}
