"""The kernel of whatever platform a program is lowered for, so that one config serves a laptop and a pod."""

from typing import Any

import jax

from unified_jax.core.sequence import Slots
from unified_jax.core.types import Array, Float, Int
from unified_jax.nn.kernels import chunked, flash_gpu, flash_tpu
from unified_jax.nn.kernels.partial import Partial


def by_platform(
    q: Float[Array, "B T H C"],
    k: Float[Array, "B S K C"],
    v: Float[Array, "B S K C"],
    *,
    query: Slots,
    key: Slots,
    window: Int[Array, ""] | int | None = None,
    **options: Any,
) -> Partial:
    """``flash_tpu`` on TPU, ``flash_gpu`` on CUDA, ``chunked`` elsewhere; options: their scale and softcap."""

    def on(kernel):
        return lambda q, k, v, query, key, window: kernel(q, k, v, query=query, key=key, window=window, **options)

    choices = dict(tpu=on(flash_tpu.attend), cuda=on(flash_gpu.attend), default=on(chunked.attend))
    return jax.lax.platform_dependent(q, k, v, query, key, window, **choices)
