"""Model FLOPs of a training step, and the peak they are held against.

    FLOPs = 6 * sum over matrices (size * rows it was applied to)  +  12 * L * H * C * visible pairs

A multiply and an add are two; backward is twice forward. Beside adapters, a matrix that stays as it is has no gradient
of its own, 4 in the place of 6, and an embedder of which nothing is trained has no backward, 2. Only filled slots and
entries count, and attention counts only pairs of slots that may see each other: padding and masked-out pairs are waste,
not work. Rematerialised work is not counted, nor are a codec and its judges: how often a convolution is applied cannot
be told from its kernel.
"""

import re
import time
from collections.abc import Container, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from unified_jax.core.paths import path_name
from unified_jax.models.lora import A, B

# Dense bfloat16 peak of one chip, FLOP/s, from the vendors' data sheets.
PEAK = {
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5": 459e12,
    "TPU v5p": 459e12,
    "TPU v6 lite": 918e12,
    "NVIDIA A100": 312e12,
    "NVIDIA H100": 989e12,
}


def train_flops(
    params: Any,
    *,
    slots: float,
    entries: Mapping[str, float],
    pairs: float,
    top_k: int = 1,
    reads: Mapping[str, float] | None = None,
    stays: Container[str] = (),
) -> float:
    """FLOPs of one update. slots: filled slots; entries: filled entries of each stream; pairs: visible slot pairs;
    top_k: how many of a mixture's experts each slot is given. reads: how often each stream's head runs, where that is
    not once for each entry. stays: paths of parameters of which no gradient is formed.
    """
    reads = entries if reads is None else reads
    total, untied = 0.0, {name.removeprefix("heads_") for name in params if name.startswith("heads_")}
    leaves = [(path_name(path), x) for path, x in jax.tree_util.tree_leaves_with_path(params)]
    trained = {name.partition("/")[0] for name, _ in leaves if name not in stays}
    for name, x in leaves:
        if name.startswith(("codec/", "judges_")):
            continue
        stream = re.match(r"(?:embed|heads)_([^/]+)/", name)
        if name.endswith("/table"):  # read backwards by a tied head; looking up is free
            total += (4 if name in stays else 6) * x.size * reads.get(stream[1], 0.0) * (stream[1] not in untied)
        elif name.endswith(("/kernel", f"/{A}", f"/{B}")):
            share = top_k / x.shape[-3] if "/experts/" in name else 1.0  # [E D F], of which a slot meets top_k
            times = reads if name.startswith("heads_") else entries
            idle = name.startswith("embed_") and name.partition("/")[0] not in trained
            each = 2 if idle else 4 if name in stays else 6
            total += each * share * x.size * (times.get(stream[1], 0.0) if stream else slots)
        if re.search(r"/q_[^/]+/kernel$", name):
            total += 12 * (x.size // x.shape[-3]) * pairs  # L * H * C: the query kernel without its input axis
    return total


def peak_flops(device: jax.Device) -> float | None:
    """FLOP/s of one device: by table for accelerators, by timing a float32 matrix product on CPU; None if unknown."""
    if device.platform == "cpu":
        return _measured_peak()
    return next((peak for kind, peak in PEAK.items() if device.device_kind.startswith(kind)), None)


def _measured_peak(n: int = 1536, repeats: int = 5) -> float:
    x = jnp.ones((n, n), jnp.float32)
    product = jax.jit(lambda x: x @ x)
    product(x).block_until_ready()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        product(x).block_until_ready()
        best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best
