"""PictureCondition: what adaptive norms of every slot are told of the picture that its document draws.

    condition(slot) = sum of pieces(Told(time, length, pooled))        of the document that the slot belongs to

time is the picture's noise level, length how far an average velocity leads, pooled the mean state of the words.
Documents are packed side by side, so all of that is looked up slot by slot, by the document's number.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.core.types import Array, Float, Int
from unified_jax.nn.block import States
from unified_jax.nn.condition import Told


class PictureCondition(nn.Module):
    """pieces: of ``nn/condition.py``, by name. picture: the stream, and the lane, of pictures; words: the lane of what
    is pooled. A document without words has a pooled vector of zeros.
    """

    pieces: Mapping[str, nn.Module]
    picture: str = "image"
    words: str = "text"

    def __call__(self, xs: States, seq: Interleaved) -> dict[str, Float[Array, "B T E"]]:
        """xs: the embedded lanes, [B T D] each -> what every lane of them is told."""
        docs = {lane: slots.doc for lane, slots in seq.lanes.items()}
        entries = seq.streams[self.picture]
        drawn = _documents(entries, docs[self.picture])
        until = entries.time if entries.until is None else entries.until
        ends = jnp.stack([entries.time, entries.time - until], -1)

        def tell(doc: Int[Array, "B T"]) -> Float[Array, "B T E"]:
            time, length = jnp.unstack(first_of_document(ends, drawn, doc), axis=-1)
            pooled = mean_of_document(xs[self.words], docs[self.words], doc)
            told = Told(time.ravel(), length=length.ravel(), pooled=pooled.reshape(-1, pooled.shape[-1]))
            made = sum(piece(told) for _, piece in sorted(self.pieces.items()))
            return made.reshape(*doc.shape, -1)

        return {lane: tell(docs[lane]) for lane in xs}


def first_of_document(
    values: Float[Array, "B K E"], doc: Int[Array, "B K"], wanted: Int[Array, "B T"]
) -> Float[Array, "B T E"]:
    """The first of the values that belong to the wanted document; of a document without any, what stands first."""
    return jnp.take_along_axis(values, _same(wanted, doc).argmax(-1)[..., None], axis=1)


def mean_of_document(
    values: Float[Array, "B K E"], doc: Int[Array, "B K"], wanted: Int[Array, "B T"]
) -> Float[Array, "B T E"]:
    """The mean of the values that belong to the wanted document, float32; zeros for a document without any."""
    same = _same(wanted, doc).astype(jnp.float32)
    total = jnp.einsum("btk,bke->bte", same, values.astype(jnp.float32), precision="highest")
    return total / jnp.maximum(same.sum(-1, keepdims=True), 1.0)


def _same(wanted: Int[Array, "B T"], doc: Int[Array, "B K"]) -> Array:
    return (wanted[..., None] == doc[:, None]) & (doc[:, None] > 0)


def _documents(payload: Payload, doc: Int[Array, "B T"]) -> Int[Array, "B N"]:
    """The document of every entry, 0 for padding."""
    found = jnp.take_along_axis(doc, jnp.minimum(payload.slot, doc.shape[1] - 1), axis=1)
    return jnp.where(payload.slot < doc.shape[1], found, 0)
