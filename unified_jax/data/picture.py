"""Reading a picture file: whatever a camera, a scanner or an editor wrote, as pixels that are seen upright."""

from io import IOBase
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from unified_jax.core.types import Shaped

MOST_PIXELS = 2**26  # 8192 x 8192; a small file can claim to be far larger, and fill memory when it is opened


def read_picture(source: str | Path | IOBase) -> Shaped[np.ndarray, "H W 3"]:
    """uint8 [H W 3], sRGB: turned as EXIF says, transparency on white, the first frame of an animation, 16 bits
    rounded to 8, CMYK converted.

    Raises FileNotFoundError, or ValueError in one line: for a file that is damaged, no picture or too large, and for
    one of floating point, whose range nothing says.
    """
    name = getattr(source, "name", source) if not isinstance(source, str | Path) else source
    if isinstance(source, str | Path) and not Path(source).is_file():
        raise FileNotFoundError(f"{name}: no such picture")
    try:
        with Image.open(source) as picture:
            width, height = picture.size
            if width * height > MOST_PIXELS:
                raise ValueError(f"{name}: {width}x{height} pixels, more than the {MOST_PIXELS} that are allowed")
            return _upright_rgb(picture, name)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as error:
        raise ValueError(f"{name}: not a readable picture ({error})") from None


def _upright_rgb(picture: Image.Image, name: object) -> Shaped[np.ndarray, "H W 3"]:
    picture = ImageOps.exif_transpose(picture)
    if picture.mode == "F":
        raise ValueError(f"{name}: pixels of floating point; write it as 8 or 16 bits per channel")
    if picture.mode.startswith("I"):
        grey = np.asarray(picture).astype(np.int64)
        return np.repeat(np.rint(np.clip(grey, 0, 65535) / 257).astype(np.uint8)[..., None], 3, -1)
    if not picture.has_transparency_data:
        return np.asarray(picture.convert("RGB"))
    picture = picture.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return np.asarray(Image.alpha_composite(white, picture).convert("RGB"))
