"""Which device holds what: one named mesh, and one table from parameter paths to mesh axes."""

import math
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from unified_jax.core.mesh import AXES, ROWS
from unified_jax.core.paths import path_name

# First match wins; a spec is aligned to the right, so the scanned layer axis in front needs no mention.
RULES: tuple[tuple[str, tuple[str | None, ...]], ...] = (
    (r".*/[qkv]_[^/]+/kernel", ("fsdp", "tensor", None)),
    (r".*/o_[^/]+/kernel", ("tensor", None, "fsdp")),
    (r".*/experts/(gate|up)/kernel", ("expert", "fsdp", "tensor")),
    (r".*/experts/down/kernel", ("expert", "tensor", "fsdp")),
    (r".*/(gate|up)/kernel", ("fsdp", "tensor")),
    (r".*/modulation/kernel", ("fsdp", None, "tensor")),
    (r".*/down/kernel", ("tensor", "fsdp")),
    (r".*/(table|codebook)", ("tensor", "fsdp")),
    (r".*/kernel", ("fsdp", None)),
    (r".*/(scale|bias|place|class_place|registers|usual|(\w+_)?(token|mean|std|variance))", ()),
    (r".*/(counts|grid|latents|level|mask|more|newline|none|null|queries|query|start|sums)", ()),
)


def make_mesh(shape: Mapping[str, int], devices: list[jax.Device] | None = None) -> Mesh:
    """shape: axis -> size, one of them -1 for whatever is left; axes not named have size 1.

    Raises ValueError for an unknown axis or sizes that do not divide the devices.
    """
    devices = jax.devices() if devices is None else devices
    if unknown := set(shape) - set(AXES):
        raise ValueError(f"unknown mesh axis {sorted(unknown)[0]!r}; axes are {', '.join(AXES)}")
    sizes = {axis: int(shape.get(axis, 1)) for axis in AXES}
    fixed = math.prod(size for size in sizes.values() if size != -1)
    free = [axis for axis, size in sizes.items() if size == -1]
    if len(free) > 1 or min(sizes.values()) < -1 or 0 in sizes.values() or len(devices) % fixed:
        raise ValueError(f"mesh {dict(shape)} does not divide the {len(devices)} devices")
    for axis in free:
        sizes[axis] = len(devices) // fixed
    if math.prod(sizes.values()) != len(devices):
        raise ValueError(f"mesh {dict(shape)} uses {math.prod(sizes.values())} of the {len(devices)} devices")
    return Mesh(np.asarray(devices).reshape(tuple(sizes.values())), AXES)


def spec(name: str, shape: tuple[int, ...], mesh: Mesh) -> PartitionSpec:
    """The partition of one parameter or of an optimizer's copy of it. An axis that does not divide is not split."""
    for pattern, axes in RULES:
        if re.fullmatch(pattern, name) and len(axes) <= len(shape):
            full = (None,) * (len(shape) - len(axes)) + axes
            sizes = dict(zip(mesh.axis_names, mesh.devices.shape))
            return PartitionSpec(*(axis if axis and n % sizes[axis] == 0 else None for axis, n in zip(full, shape)))
    return PartitionSpec()


def shardings(tree: Any, mesh: Mesh) -> Any:
    """NamedShardings of every leaf of a parameter tree or a whole TrainState (shapes suffice)."""
    leaf = lambda path, x: NamedSharding(mesh, spec(path_name(path), x.shape, mesh))
    return jax.tree_util.tree_map_with_path(leaf, tree)


def placed(shapes: Any, mesh: Mesh) -> Any:
    """Shapes of a parameter tree or a TrainState -> the same with the shardings that they are to have."""
    put = lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
    return jax.tree.map(put, shapes, shardings(shapes, mesh))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """[micro-batches, rows, ...]: rows are split over data, fsdp and expert."""
    return NamedSharding(mesh, PartitionSpec(None, ROWS))


def put_batch(batch: Any, sharding: NamedSharding, accumulate: int) -> Any:
    """Host arrays [rows ...] -> device arrays [accumulate, rows / accumulate, ...].

    Each process passes its own rows; together they make the global batch.
    """

    def put(x):
        x = x.reshape(accumulate, x.shape[0] // accumulate, *x.shape[1:])
        return jax.make_array_from_process_local_data(sharding, x)

    return jax.tree.map(put, batch)
