"""Picture files as data URIs, with the width at which every pixel becomes a whole number of screen pixels."""

import base64
from pathlib import Path

from markupsafe import Markup

_TYPES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}
_PNG = next(iter(_TYPES))
_AIM = 96  # screen pixels
_MOST = 256


def picture(path: Path, alt: str = "") -> Markup:
    """An `<img>` that carries the picture itself; a grey box when the file is missing or is no picture."""
    data = path.read_bytes() if path.is_file() else b""
    kind = next((name for magic, name in _TYPES.items() if data.startswith(magic)), None)
    if kind is None:
        return Markup('<span class="missing">picture missing: {}</span>').format(path.name)
    uri = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return Markup('<img src="{}" width="{}" alt="{}">').format(uri, shown_width(path), alt)


def shown_width(path: Path) -> int:
    """The multiple of a PNG's own width that comes nearest to the width aimed at; that width for anything else."""
    if not path.is_file():
        return _AIM
    with path.open("rb") as file:
        header = file.read(24)
    if not header.startswith(_PNG):
        return _AIM
    width = int.from_bytes(header[16:20], "big")  # the first field of the first chunk
    return min(_MOST, width * max(1, round(_AIM / max(1, width))))
