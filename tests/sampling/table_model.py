"""A model that is a table: the exact conditionals of a small joint distribution, behind the interface of a network."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.core import cache as caches
from unified_jax.core.sequence import Interleaved, Payload, Slots
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

    def apart(self, params):
        return params

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
        temperature=each(1.0),
        scale=each(1.0),
        null=own,
        lead=own,
    )
    return Brushes(**{**usual, **fields})


def nothing(rows: int) -> caches.Cache:
    """A cache in which nothing is, of a model without layers."""
    kv = jnp.zeros((1, rows, 1, 1, 1))
    return caches.empty((kv, kv), 1)
