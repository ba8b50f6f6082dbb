"""Hidden entries: their slots are empty, and what follows them in their document moves up."""

import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.core.hiding import hide
from unified_jax.core.mask import visible
from unified_jax.data.pack import Layout, Stream, pack
from unified_jax.data.plan import Span

STREAMS = {"text": Stream("main"), "image": Stream("main")}


def span(stream, count, **fields):
    return Span(((stream, np.arange(count, dtype=np.int32)),), **fields)


def test_the_rest_is_as_if_they_had_never_been_there():
    """Against the same documents packed without them, slot by slot."""
    rng = np.random.default_rng(0)
    whole, left, hidden = [], [], np.zeros((2, 12), bool)
    for row in range(2):
        documents, short, at = [], [], 0
        for size in (5, 4):
            gone = rng.random(size) < 0.5
            hidden[row, at : at + size], at = gone, at + size
            picture = lambda n: span("image", n, attend="full", blocks=(1,) * n)
            documents.append([span("text", 3), picture(size), span("text", 2)])
            short.append([span("text", 3), picture(size - gone.sum()), span("text", 2)])
        whole.append(documents)
        left.append(short)
    layout = Layout({"main": 24}, {"text": 12, "image": 12})
    seq = jax.tree.map(jnp.asarray, pack(whole, STREAMS, layout))
    got, want = hide(seq, "image", hidden=jnp.asarray(hidden)).lanes["main"], pack(left, STREAMS, layout).lanes["main"]
    assert 0 < hidden[:, :9].sum() < 18
    for row in range(2):
        there, packed = np.flatnonzero(got.doc[row]), np.flatnonzero(want.doc[row])
        for field in ("doc", "pos"):
            np.testing.assert_array_equal(getattr(got, field)[row, there], getattr(want, field)[row, packed])
        seen, known = visible(got, got)[row], visible(want, want)[row]
        np.testing.assert_array_equal(seen[np.ix_(there, there)], known[np.ix_(packed, packed)])


def test_a_hidden_entry_is_known_by_its_time():
    seq = jax.tree.map(jnp.asarray, pack([[[span("image", 3)]]], STREAMS, Layout({"main": 4}, {"text": 1, "image": 4})))
    shown = hide(seq, "image", hidden=jnp.array([[False, True, False, False]]))
    assert shown.streams["image"].time.tolist() == [[0.0, 1.0, 0.0, 0.0]]
    assert shown.lanes["main"].doc.tolist() == [[1, 0, 1, 0]]
