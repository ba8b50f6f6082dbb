"""Parameters out of published tensors and back, by a table of rules, one tensor at a time."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from unified_jax.core.paths import path_name
from unified_jax.interop.checkpoint import Tensor
from unified_jax.interop.rules import Bound, Copy, Faults, Rule, bound_rules, compare

Region = tuple[tuple[int, int], ...]  # (start, stop) along every axis


def load(
    tensors: Mapping[str, Tensor],
    like: Any,
    *,
    rules: Sequence[Rule | Copy],
    skip: str = "",
    nonfinite: str = "",
    source: str = "the checkpoint",
) -> Any:
    """The tree of ``like`` (arrays or ShapeDtypeStructs, whose shardings are honoured), filled from ``tensors``.

    Host memory holds what this process needs of one parameter and one published tensor, and no device ever holds more
    than its shard.

    skip: regex of published names that are ignored on purpose. nonfinite: regex of those that may hold NaN or
    infinity. source: what messages call the checkpoint.

    Raises one ValueError that lists everything that does not fit: tensors that no rule names or several do, missing
    indices, parameters that nothing fills, shapes. Raises ValueError at the first tensor with NaN or infinity, and
    where tied tensors differ.
    """
    wanted = {path_name(where): leaf for where, leaf in jax.tree_util.tree_leaves_with_path(like)}
    faults = Faults()
    bound = bound_rules(rules, wanted, faults)
    compare(bound, tensors, rules=rules, skip=skip, shapes=wanted, faults=faults)
    faults.check(source)
    for copy in rules:
        if isinstance(copy, Copy) and copy.name in tensors:
            _check_copy(copy, tensors, source)
    checked = {name: _checked(name, tensor, nonfinite, source) for name, tensor in tensors.items()}
    filled = {
        path: _fill(each, part, wanted[path], checked) for each in bound for part, path in enumerate(each.rule.paths)
    }
    return jax.tree_util.tree_map_with_path(lambda where, _: filled[path_name(where)], like)


def export(params: Any, *, rules: Sequence[Rule | Copy]) -> dict[str, Tensor]:
    """The published tensors of a parameter tree, in the parameters' own dtypes, each made when it is read.

    ``{name: x.astype("bfloat16") for ...}`` converts them; ``folder.write_folder`` writes them. Every parameter must
    be addressable from this process. Raises one ValueError that lists the parameters that not exactly one rule fills.
    """
    leaves = {path_name(where): leaf for where, leaf in jax.tree_util.tree_leaves_with_path(params)}
    faults = Faults()
    bound = bound_rules(rules, leaves, faults)
    faults.check("the table of rules")
    tensors = {}
    for each in bound:
        arrays = [leaves[path] for path in each.rule.paths]
        for index, name in each.names.items():
            tensors[name] = Tensor(each.form.shape, np.dtype(arrays[0].dtype), partial(_publish, each, arrays, index))
    return tensors | {copy.name: tensors[copy.of] for copy in rules if isinstance(copy, Copy)}


def _publish(bound: Bound, arrays: list[Any], index: tuple[int, ...]) -> np.ndarray:
    return bound.form.join([bound.rule.arithmetic.to_published(np.asarray(array[index])) for array in arrays])


def _fill(bound: Bound, part: int, like: Any, tensors: Mapping[str, Tensor]) -> jax.Array:
    """One parameter. Each region that a device of this process holds has a buffer; each tensor is read once."""
    shape, sharding = tuple(like.shape), getattr(like, "sharding", None)
    regions = {_region((slice(None),) * len(shape), shape)}
    if sharding is not None:
        regions = {_region(index, shape) for index in sharding.addressable_devices_indices_map(shape).values()}
    buffers = {region: np.empty([stop - start for start, stop in region], like.dtype) for region in regions}
    for index, name in bound.names.items():
        touched = [r for r in regions if all(start <= i < stop for i, (start, stop) in zip(index, r))]
        if touched:
            _scatter(bound, part, index, tensors[name], {region: buffers[region] for region in touched})
    if sharding is None:
        return jax.device_put(buffers.popitem()[1])
    return jax.make_array_from_callback(shape, sharding, lambda index: buffers[_region(index, shape)])


def _scatter(
    bound: Bound, part: int, index: tuple[int, ...], tensor: Tensor, buffers: Mapping[Region, np.ndarray]
) -> None:
    ours = bound.form.take(tensor.read(), part)
    for region, buffer in buffers.items():
        here = tuple(i - start for i, (start, _) in zip(index, region))
        share = ours[tuple(slice(*bounds) for bounds in region[len(index) :])]
        buffer[here] = bound.rule.arithmetic.to_ours(share.astype(buffer.dtype, copy=False))


def _region(index: tuple[slice, ...], shape: tuple[int, ...]) -> Region:
    return tuple(along.indices(size)[:2] for along, size in zip(index, shape))


def _checked(name: str, tensor: Tensor, nonfinite: str, source: str) -> Tensor:
    if re.fullmatch(nonfinite, name):
        return tensor

    def read() -> np.ndarray:
        values = tensor.read()
        if not np.isfinite(values).all():
            raise ValueError(f"{source}: {name} holds NaN or infinity; name it in nonfinite= if that is meant")
        return values

    return Tensor(tensor.shape, tensor.dtype, read)


def _check_copy(copy: Copy, tensors: Mapping[str, Tensor], source: str) -> None:
    if not np.array_equal(tensors[copy.name].read(), tensors[copy.of].read()):
        raise ValueError(f"{source}: {copy.name} differs from {copy.of}, but this model has one parameter for both")
