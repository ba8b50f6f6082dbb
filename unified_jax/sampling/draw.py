"""Draw: pictures in all rows at once, each solved from noise to data by the fill's solver; one jitted loop.

Nothing is committed. Rows may take different numbers of steps; one that has arrived stands still.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from unified_jax.core.cache import Cache
from unified_jax.core.noise import timetable
from unified_jax.core.sequence import Interleaved
from unified_jax.core.types import Array, Float, Int, Key, Leaf
from unified_jax.sampling.choose import odds
from unified_jax.sampling.extend import extend
from unified_jax.sampling.guidance.classifier_free import two_conditions
from unified_jax.sampling.solvers.solve import solve

STEPS = 64  # timetables have room for this many steps times a power of two


@struct.dataclass
class Brushes:
    """How every row draws, [B] each.

    key: of the blank; the noise comes from it. steps, shift: of its times. block: as in ``Settings``. temperature,
    top_k, top_p: of the choice of ids, as in ``choose``. scale, null: as in ``guide``. image_scale, blind: as in
    ``ClassifierFree``. lead: the row whose output this one takes: itself, or for a row without its condition the
    conditioned one.
    """

    key: Leaf
    steps: Leaf
    shift: Leaf
    block: Leaf
    temperature: Leaf
    top_k: Leaf
    top_p: Leaf
    scale: Leaf
    null: Leaf
    image_scale: Leaf
    blind: Leaf
    lead: Leaf

    def keys(self, i: Int[Array, ""] | int) -> Key[Array, "B"]:
        """Every row's key for the i-th of its draws."""
        return jax.vmap(jax.random.fold_in, (0, None))(self.key, i)

    def guided(
        self, prediction: Float[Array, "B ..."], share: Float[Array, "B"] | float = 1.0
    ) -> Float[Array, "B ..."]:
        """The prediction that every row goes by. share: how far the guidance goes towards its scales from 1."""
        guided = two_conditions(
            prediction,
            prediction[self.null],
            without_image=prediction[self.blind],
            text_scale=1 + share * (self.scale - 1),
            image_scale=1 + share * (self.image_scale - 1),
        )
        return guided[self.lead]

    def odds(self, logits: Float[Array, "B *N V"]) -> Float[Array, "B *N V"]:
        """The logits that every row's ids are drawn from (``choose.odds``)."""
        each = lambda x: x.reshape(-1, *[1] * (logits.ndim - 2))
        numbers = dict(temperature=self.temperature, top_k=self.top_k, top_p=self.top_p)
        return odds(logits, **jax.tree.map(each, numbers))


@partial(jax.jit, static_argnames=("model", "fill", "most"))
def draw(
    model: Any, params: Any, *, fill: Any, cache: Cache, blank: Interleaved, brushes: Brushes, most: int
) -> Float[Array, "B N P"]:
    """Clean values of every row's picture.

    fill: the ``Integrate`` fill. blank: a batch holding just the pictures; rows without one are empty. most: room of
    the timetable, at least every row's steps.
    """
    (params, cache), payload = model.apart(params, cache), blank.streams[fill.stream]
    normal = jax.vmap(lambda key: jax.random.normal(key, payload.values.shape[1:]))
    noise = lambda i: normal(brushes.keys(i))

    def network(x, point):
        entries = jax.tree.map(lambda scale: jnp.broadcast_to(scale[:, None], payload.time.shape), point)
        shown = blank.put(fill.stream, values=x, time=entries.t, until=entries.until)
        predictions, *_ = extend(model, params, seq=shown, cache=cache)
        pictures = dict(image_scale=brushes.image_scale, blind=brushes.blind)
        output = fill.guidance(predictions[fill.stream], brushes.scale, null=brushes.null, t=point.t, **pictures)
        return output[brushes.lead]

    t = timetable(brushes.steps, brushes.shift, most=most)
    start, steps = normal(brushes.key), brushes.steps.max()
    return solve(network, start, t=t, path=fill.path, solver=fill.solver, noise=noise, steps=steps)
