"""WebDataset: records as files of tar archives that share a name up to its first dot (github.com/webdataset).

    shard-000000.tar     0001.jpg  0001.txt  0002.jpg ...   ->   {"__key__": "0001", "jpg": bytes, "txt": str, ...}, ...

Where each file lies in its archive is written once, as JSON beside it or in a cache, so that records can be read in
any order. Nothing is ever unpickled.
"""

import hashlib
import json
import logging
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from unified_jax.core.files import read_json, write_text
from unified_jax.data.document import BadRecord
from unified_jax.data.sources.example import Example
from unified_jax.data.sources.formats import find_files

PICTURES = ("jpg", "jpeg", "png", "webp")
_LOG = logging.getLogger("unified_jax")

Members = dict[str, tuple[int, int]]  # ending -> (first byte, length)


class WebDataset:
    """``documents.Records``: ending -> content, of .txt the text, of .json the value, of all others the bytes.

    The first picture is there as "image" too, and the fields of a JSON object under their own names.

    paths: an archive, a pattern, or several; not compressed. cache: folder of the indices; None for beside them.
    Raises FileNotFoundError where there is no file, ValueError for one that is compressed, damaged or truncated.
    """

    def __init__(self, paths: str | Path | Sequence[str | Path], *, cache: str | Path | None = None):
        self._files = find_files(paths)
        self.folder = self._files[0].parent
        self._where = [(i, *found) for i, file in enumerate(self._files) for found in _index(file, cache)]

    def __len__(self) -> int:
        return len(self._where)

    def read(self, index: int) -> Example:
        """The record's files. Raises BadRecord for text that is not UTF-8 and JSON that is none."""
        file, key, members = self._where[index]
        found: dict[str, Any] = {"__key__": key}
        with self._files[file].open("rb") as archive:
            for ending, (start, length) in members.items():
                archive.seek(start)
                found[ending] = _decoded(ending, archive.read(length))
        picture = next((found[ending] for ending in PICTURES if ending in found), None)
        said = found.get("json")
        return {**(said if isinstance(said, dict) else {}), **({} if picture is None else {"image": picture}), **found}

    def place(self, index: int) -> str:
        """Archive and name."""
        file, key, _ = self._where[index]
        return f"{self._files[file]} {key}"

    def keys(self) -> Iterator[bytes]:
        """Names of archives and in them."""
        return (f"{self._files[file].name} {key}".encode() for file, key, _ in self._where)

    def __repr__(self) -> str:
        return f"WebDataset({', '.join(map(str, self._files))})"


def _decoded(ending: str, content: bytes) -> Any:
    kind = ending.rpartition(".")[-1]
    try:
        if kind == "json":
            return json.loads(content)
        return content.decode() if kind == "txt" else content
    except ValueError as error:
        raise BadRecord(f".{ending} is not {'JSON' if kind == 'json' else 'text in UTF-8'} ({error})") from None


def _index(file: Path, cache: str | Path | None) -> list[tuple[str, Members]]:
    """Every record of an archive: its name, and where its files are. Read from disk where it is written and not old."""
    written = _index_path(file, cache)
    state = file.stat()
    stamp = {"bytes": state.st_size, "modified_ns": state.st_mtime_ns}
    if written.is_file():
        found = read_json(written)
        if found.get("archive") == stamp:
            return [(key, {end: tuple(at) for end, at in members.items()}) for key, members in found["records"]]
    records = list(_scan(file).items())
    try:
        written.parent.mkdir(parents=True, exist_ok=True)
        write_text(written, json.dumps({"archive": stamp, "records": records}))
    except OSError as error:
        _LOG.warning("%s: the index is not kept (%s); give a folder as cache", written, error)
    return records


def _index_path(file: Path, cache: str | Path | None) -> Path:
    if cache is None:
        return file.with_name(f"{file.name}.index.json")
    place = hashlib.blake2b(str(file.absolute()).encode(), digest_size=8).hexdigest()
    return Path(cache) / f"{file.name}.{place}.index.json"


def _scan(file: Path) -> dict[str, Members]:
    records: dict[str, Members] = {}
    size = file.stat().st_size
    try:
        with tarfile.open(file, "r:") as archive:
            for member in archive:
                folder, _, name = member.name.rpartition("/")
                stem, _, ending = name.partition(".")
                if not member.isreg() or not stem or not ending:
                    continue
                if member.offset_data + member.size > size:
                    raise tarfile.ReadError(f"{member.name} goes on behind the end")
                key = f"{folder}/{stem}" if folder else stem
                records.setdefault(key, {})[ending.lower()] = (member.offset_data, member.size)
    except tarfile.TarError as error:
        raise ValueError(f"{file}: compressed, truncated or not a tar archive ({error})") from None
    return records
