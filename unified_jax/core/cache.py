"""Cache: the keys and values of everything committed so far, an explicit pytree of static shape.

Running the model against a cache never changes it. Only ``commit`` does, so a denoising step that is thrown away
leaves no trace, and the clean picture written afterwards is all that later slots see. Every row has a length of its
own, so rows advance independently, and one that is cut back to 0 serves another document.
"""

import jax
import jax.numpy as jnp
from flax import struct
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from unified_jax.core.sequence import Slots
from unified_jax.core.storage import Plain, Storage
from unified_jax.core.types import Array, Int, Leaf


@struct.dataclass
class Cache:
    """kv: what ``storage`` keeps of (keys, values) [L B K S C], followed by those of a second stack where there is one;
    loops that only read it may hold lists of layers in their place (``core.layers``).
    slots: their Slots, doc 0 where nothing is written.

    length: int32 [B], where each row's next slots go. storage: static.
    """

    kv: Leaf
    slots: Slots
    length: Leaf
    storage: Storage = struct.field(pytree_node=False, default=Plain())

    @property
    def capacity(self) -> int:
        return self.slots.doc.shape[1]


def empty(kv: tuple[Leaf, ...], capacity: int, axes: int = 3, *, storage: Storage = Plain()) -> Cache:
    """A cache of ``capacity`` slots a row, shaped after one output's kv ([L B K T C] each, any T; shapes suffice)."""
    batch = kv[0].shape[1]
    whole = tuple(jax.ShapeDtypeStruct((*x.shape[:3], capacity, *x.shape[4:]), x.dtype) for x in kv)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(storage.encode, whole))
    ids = lambda *shape: jnp.zeros((batch, capacity, *shape), jnp.int32)
    slots = Slots(doc=ids(), block=ids(), private=ids().astype(bool), pos=ids(axes))
    return Cache(kv=zeros, slots=slots, length=jnp.zeros((batch,), jnp.int32), storage=storage)


def take(cache: Cache, rows: Int[Array, "b"]) -> Cache:
    """Some rows of a cache; numbers beyond the last row repeat it."""
    pick = lambda x, axis: jnp.take(x, rows, axis=axis, mode="clip")
    return cache.replace(
        kv=jax.tree.map(lambda x: pick(x, 1), cache.kv),
        slots=jax.tree.map(lambda x: pick(x, 0), cache.slots),
        length=pick(cache.length, 0),
    )


def commit(cache: Cache, kv: tuple[Array, ...], slots: Slots, *, rows: Int[Array, "b"] | None = None) -> Cache:
    """Appends one output's keys, values and slots to each row, or to those named in ``rows``.

    A row grows by its occupied new slots; empty ones, at the end or between lanes, take no room. Rows beyond the last
    and slots beyond the capacity are dropped: callers see to the capacity.
    """
    batch, _ = slots.doc.shape
    rows = jnp.arange(batch) if rows is None else rows
    start = jnp.take(cache.length, rows, mode="clip")
    taken = slots.doc > 0
    row, at = rows[:, None], jnp.where(taken, start[:, None] + jnp.cumsum(taken, 1) - 1, cache.capacity)

    # A scatter of single slots is done in place; vmap(dynamic_update_slice) copies the whole cache on CPU.
    def put_kv(old, new):
        return old.at[:, row, :, at].set(new.astype(old.dtype).transpose(1, 3, 0, 2, 4), mode="drop")

    def put(old, new):
        return old.at[row, at].set(new.astype(old.dtype), mode="drop")

    return cache.replace(
        kv=jax.tree.map(put_kv, cache.kv, cache.storage.encode(kv)),
        slots=jax.tree.map(put, cache.slots, slots),
        length=cache.length.at[rows].add(taken.sum(1, dtype=jnp.int32), mode="drop"),
    )


def cut(cache: Cache, length: Int[Array, "B"]) -> Cache:
    """Every row cut back to ``length`` slots; what lay behind is seen no more."""
    kept = jnp.arange(cache.capacity) < length[:, None]
    return cache.replace(slots=cache.slots.replace(doc=jnp.where(kept, cache.slots.doc, 0)), length=length)


def grow(cache: Cache, capacity: int) -> Cache:
    """The same contents with room for ``capacity`` slots a row."""
    pad = lambda x, axis: jnp.pad(x, [(0, capacity - cache.capacity if i == axis else 0) for i in range(x.ndim)])
    return cache.replace(
        kv=jax.tree.map(lambda x: pad(x, 3), cache.kv), slots=jax.tree.map(lambda x: pad(x, 1), cache.slots)
    )


def shardings(cache: Cache, mesh: Mesh) -> Cache:
    """NamedShardings of a cache's leaves: rows over data and fsdp, heads over tensor, each only where it divides.

    The mesh's axes have the names of ``train.sharding``; parameters placed by its rules meet the cache head by head.
    """

    def axis(n: int, *names: str) -> tuple[str, ...] | None:
        names = tuple(name for name in names if name in mesh.shape)
        size = 1
        for name in names:
            size *= mesh.shape[name]
        return names if names and n % size == 0 else None

    place = lambda *axes: NamedSharding(mesh, PartitionSpec(*axes))
    rows = axis(cache.length.shape[0], "data", "fsdp")
    return cache.replace(
        kv=jax.tree.map(lambda x: place(None, rows, axis(x.shape[2], "tensor")), cache.kv),
        slots=jax.tree.map(lambda x: place(rows), cache.slots),
        length=place(rows),
    )
