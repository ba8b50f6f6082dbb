"""Tensors of a file that ``torch.save`` wrote (.pt, .pth, .ckpt, .bin), without torch and without running its pickle.

    since 1.6   a zip: <name>/data.pkl (the objects), <name>/data/<key> (one storage each), <name>/byteorder
    before      pickles of a magic number, a version, the machine and the objects; of the keys of storages; then each
                storage as its length (int64) and its values

The pickle may hold dicts, lists, tuples, text, numbers and tensors. Its opcodes are checked before anything is built,
and the few names that it may ask for are answered by functions of this file: no name in it reaches Python's imports.
"""

import io
import math
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from unified_jax.interop.checkpoint import Tensor

MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of an old file
OPCODES = frozenset(
    "PROTO FRAME MARK STOP POP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG1 LONG BINFLOAT BINUNICODE "
    "SHORT_BINUNICODE BINUNICODE8 BINSTRING SHORT_BINSTRING EMPTY_DICT DICT SETITEM SETITEMS EMPTY_LIST LIST APPEND "
    "APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET BINPERSID GLOBAL "
    "STACK_GLOBAL REDUCE BUILD".split()
)
STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": jnp.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


@dataclass(frozen=True)
class Storage:
    """A run of ``count`` values of one type. key: its name in the file."""

    key: str
    dtype: np.dtype
    count: int


@dataclass(frozen=True)
class View:
    """A tensor as it is pickled: where in a storage its values lie. offset, strides: in values."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def open_torch_file(path: str | Path) -> dict[str, Tensor]:
    """The tensors of the file by name; values are read when asked for.

    Names in nested dicts are joined by dots ("model.encoder.conv_in.weight" of {"model": {...}}); what is no tensor is
    left out. Raises FileNotFoundError, or ValueError in one line for a file that is damaged, asks for anything but
    tensors, or holds none.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        views, read = (_open_zip if zipfile.is_zipfile(path) else _open_old)(path)
        tensors = {name: _tensor(view, read) for name, view in _named("", views)}
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path}: {error}") from None
    except (EOFError, KeyError, IndexError, TypeError, AttributeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: truncated, damaged or not a file of tensors ({_brief(error)})") from None
    if not tensors:
        raise ValueError(f"{path}: holds no tensors")
    return tensors


class _Reader(pickle.Unpickler):
    """Builds the objects of a checked pickle; a storage becomes a ``Storage``, a tensor a ``View``."""

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name that the pickle asks for."""
        if module == "torch" and name in STORAGES:
            return np.dtype(STORAGES[name])
        if (module, name) in _NAMES:
            return _NAMES[module, name]
        raise pickle.UnpicklingError(f"asks for {module}.{name}, which no file of tensors needs; it is not read")

    def persistent_load(self, saved: Any) -> Storage:
        """The storage that a tensor refers to."""
        kind, dtype, key, _, count, *_ = saved
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError(f"refers to a {kind!r}, where only storages are known")
        return Storage(str(key), dtype, int(count))


def _view(storage: Storage, offset: int, shape: tuple, strides: tuple, *_: Any) -> View:
    """In the place of ``torch._utils._rebuild_tensor_v2``; gradients and hooks are dropped."""
    return View(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


def _parameter(data: View, *_: Any) -> View:
    """In the place of ``torch._utils._rebuild_parameter``."""
    return data


def _shape(sizes: tuple = ()) -> tuple:
    """In the place of ``torch.Size``."""
    return tuple(sizes)


class _Dict(OrderedDict):
    """In the place of ``collections.OrderedDict``; what modules attach to theirs (versions of layers) is dropped."""

    def __setstate__(self, state: Any) -> None:
        pass


_NAMES = {
    ("collections", "OrderedDict"): _Dict,
    ("torch._utils", "_rebuild_tensor_v2"): _view,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch", "Size"): _shape,
}


def _load(file: io.BufferedIOBase) -> Any:
    """The next object of the file. Every opcode is looked at first."""
    start = file.tell()
    for opcode, _, _ in pickletools.genops(file):
        if opcode.name not in OPCODES:
            raise pickle.UnpicklingError(
                f"uses the opcode {opcode.name}, which no file of tensors needs; it is not read"
            )
    file.seek(start)
    return _Reader(file).load()


Read = Callable[[Storage], np.ndarray]


def _open_zip(path: Path) -> tuple[Any, Read]:
    with zipfile.ZipFile(path) as archive:
        pickled = [name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(pickled) != 1:
            raise ValueError("a zip without its data.pkl")
        root = pickled[0].removesuffix("data.pkl")
        if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
            raise ValueError("written on a big-endian machine")
        objects = _load(io.BytesIO(archive.read(pickled[0])))
    return objects, partial(_read_member, path, root)


def _read_member(path: Path, root: str, storage: Storage) -> np.ndarray:
    with zipfile.ZipFile(path) as archive:
        return _values(path, archive.read(f"{root}data/{storage.key}"), storage)


def _open_old(path: Path) -> tuple[Any, Read]:
    with path.open("rb") as file:
        if _load(file) != MAGIC:
            raise ValueError("no magic number")
        _load(file)  # the version of the protocol
        if not _load(file).get("little_endian", False):
            raise ValueError("written on a big-endian machine")
        objects, keys = _load(file), _load(file)
        sizes = {view.storage.key: view.storage.dtype.itemsize for _, view in _named("", objects)}
        places, at = {}, file.tell()
        for key in keys:
            file.seek(at)
            count = int.from_bytes(file.read(8), "little")
            places[key] = at + 8
            at += 8 + count * sizes[key]
        if at > path.stat().st_size:
            raise ValueError(f"{path.stat().st_size} bytes, of {at}")
    return objects, partial(_read_at, path, places)


def _read_at(path: Path, places: Mapping[str, int], storage: Storage) -> np.ndarray:
    with path.open("rb") as file:
        file.seek(places[storage.key])
        return _values(path, file.read(storage.count * storage.dtype.itemsize), storage)


def _values(path: Path, data: bytes, storage: Storage) -> np.ndarray:
    if len(data) != storage.count * storage.dtype.itemsize:
        raise ValueError(f"{path}: truncated or damaged (storage {storage.key} has {len(data)} bytes)")
    return np.frombuffer(data, storage.dtype)


def _named(prefix: str, objects: Any) -> Iterator[tuple[str, View]]:
    """The tensors of nested dicts."""
    if isinstance(objects, View):
        yield prefix, objects
    elif isinstance(objects, dict):
        for name, value in objects.items():
            yield from _named(f"{prefix}.{name}" if prefix else str(name), value)


def _tensor(view: View, read: Read) -> Tensor:
    last = view.offset + sum((side - 1) * stride for side, stride in zip(view.shape, view.strides))
    empty = math.prod(view.shape) == 0
    if min((view.offset, *view.shape, *view.strides)) < 0 or not (empty or last < view.storage.count):
        raise ValueError(f"a tensor of {view.shape} reaches beyond its storage")

    def values() -> np.ndarray:
        flat = read(view.storage)[view.offset :]
        steps = [stride * flat.itemsize for stride in view.strides]
        return np.lib.stride_tricks.as_strided(flat, view.shape, steps, writeable=False).copy()

    return Tensor(view.shape, view.storage.dtype, values)


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__
