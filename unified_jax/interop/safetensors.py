"""Parameter trees as safetensors files: names are paths joined by dots; nothing is ever unpickled."""

import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from unified_jax.core.paths import path_name


def save(path: str | Path, params: Any, *, metadata: dict[str, str] | None = None) -> None:
    """Writes one file, atomically."""
    path = Path(path)
    tensors = {_key(where): np.asarray(x, order="C") for where, x in jax.tree_util.tree_leaves_with_path(params)}
    temporary = path.with_name(path.name + ".tmp")
    save_file(tensors, temporary, metadata=metadata)
    os.replace(temporary, path)


def load(path: str | Path, like: Any) -> Any:
    """The tree of ``like`` (arrays or ShapeDtypeStructs, whose shardings are honoured), tensor by tensor.

    Raises ValueError naming the file and every tensor that is missing, unexpected or of another shape, or where the
    file is damaged; FileNotFoundError where there is none.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    wanted = {_key(where): x for where, x in jax.tree_util.tree_leaves_with_path(like)}
    try:
        with safe_open(path, framework="numpy") as file:
            _compare(path, wanted, {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()})
            loaded = {key: _place(file.get_tensor(key), x) for key, x in wanted.items()}
    except SafetensorError as error:
        raise ValueError(f"{path}: damaged or not a safetensors file ({error})") from None
    return jax.tree_util.tree_map_with_path(lambda where, _: loaded[_key(where)], like)


def _key(where: tuple[Any, ...]) -> str:
    return path_name(where).replace("/", ".")


def _place(tensor: np.ndarray, like: Any) -> jax.Array:
    return jax.device_put(tensor.astype(like.dtype), getattr(like, "sharding", None))


def _compare(path: Path, wanted: dict[str, Any], found: dict[str, tuple[int, ...]]) -> None:
    faults = [f"missing {key}" for key in sorted(set(wanted) - set(found))]
    faults += [f"unexpected {key}" for key in sorted(set(found) - set(wanted))]
    faults += [
        f"{key} has shape {found[key]}, not {tuple(x.shape)}"
        for key, x in sorted(wanted.items())
        if key in found and found[key] != tuple(x.shape)
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ValueError(f"{path}: does not fit this model: {'; '.join(faults[:3])}{more}")
