"""Cache: the keys and values of everything committed so far, an explicit pytree.

Running the model against a cache never changes it. Only ``commit`` does, so a denoising step that is thrown away
leaves no trace, and the clean picture written afterwards is all that later slots see.
"""

import jax
import jax.numpy as jnp
from flax import struct

from unified_jax.core.sequence import Slots
from unified_jax.core.types import Array, Leaf


@struct.dataclass
class Cache:
    """kv: (keys, values), each [L B K S C]; slots: their Slots, doc 0 where nothing is written; length: int32 []."""

    kv: tuple[Leaf, Leaf]
    slots: Slots
    length: Leaf

    @property
    def capacity(self) -> int:
        return self.slots.doc.shape[1]


def empty(kv: tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct], capacity: int, axes: int = 3) -> Cache:
    """A cache of ``capacity`` slots, shaped after one output's kv ([L B K T C] each, any T)."""
    batch = kv[0].shape[1]
    zeros = tuple(jnp.zeros((*x.shape[:3], capacity, x.shape[4]), x.dtype) for x in kv)
    ids = lambda *shape: jnp.zeros((batch, capacity, *shape), jnp.int32)
    slots = Slots(doc=ids(), block=ids(), private=ids().astype(bool), pos=ids(axes))
    return Cache(kv=zeros, slots=slots, length=jnp.zeros((), jnp.int32))


def commit(cache: Cache, kv: tuple[Array, Array], slots: Slots) -> Cache:
    """Appends one output's keys, values and slots. The caller keeps length + T within the capacity."""
    update = jax.lax.dynamic_update_slice_in_dim
    return Cache(
        kv=tuple(update(old, new.astype(old.dtype), cache.length, 3) for old, new in zip(cache.kv, kv)),
        slots=jax.tree.map(lambda old, new: update(old, new.astype(old.dtype), cache.length, 1), cache.slots, slots),
        length=cache.length + slots.doc.shape[1],
    )
