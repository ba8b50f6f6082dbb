"""TrainState: everything a run needs to go on, as one pytree."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from unified_jax.core.types import Leaf


@struct.dataclass
class TrainState:
    """step: int32 [], updates tried so far. ema: averaged parameters. bad_step: first step whose loss or gradient was
    not finite, -1 if none. skipped: int32 [], how many updates were left out for that reason.
    """

    step: Leaf
    params: Any
    ema: Any
    opt_state: Any
    bad_step: Leaf
    skipped: Leaf


def create(params: Any, tx: optax.GradientTransformation) -> TrainState:
    """The state before the first step."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        ema=jax.tree.map(jnp.copy, params),
        opt_state=tx.init(params),
        bad_step=jnp.full((), -1, jnp.int32),
        skipped=jnp.zeros((), jnp.int32),
    )
