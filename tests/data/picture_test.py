"""Pictures as cameras, scanners and editors write them: the right pixels, or one clear line."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest

from unified_jax.data.picture import read_picture


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


def written(image: PIL.Image.Image, kind: str = "png", **options) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


def test_a_plain_picture_is_itself(pixels, tmp_path):
    path = tmp_path / "picture.png"
    PIL.Image.fromarray(pixels).save(path)
    np.testing.assert_array_equal(read_picture(path), pixels)


def test_one_pixel():
    np.testing.assert_array_equal(read_picture(written(PIL.Image.new("RGB", (1, 1), (3, 4, 5)))), [[[3, 4, 5]]])


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_camera_held_sideways(pixels, turn):
    """All eight EXIF orientations, undone by hand."""
    upright = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.swapaxes(0, 1),
        6: lambda x: np.rot90(x, -1),
        7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
        8: lambda x: np.rot90(x),
    }
    exif = PIL.Image.Exif()
    exif[0x0112] = turn
    np.testing.assert_array_equal(
        read_picture(written(PIL.Image.fromarray(pixels), exif=exif.tobytes())), upright[turn](pixels)
    )


def test_sixteen_bits_are_rounded_to_eight():
    grey = np.array([[0, 257, 300, 65535, 128]], np.uint16)
    got = read_picture(written(PIL.Image.fromarray(grey)))
    np.testing.assert_array_equal(got[0], np.repeat([[0], [1], [1], [255], [0]], 3, -1))


def test_sixteen_bits_of_colour_are_within_one_level():
    """Pillow keeps the high byte of each; rounding would be exact."""
    colour = np.array([[[0, 257, 65535], [300, 40000, 128]]], np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in colour)
    got = read_picture(png(width=2, height=1, bits=16, data=zlib.compress(rows)))
    assert np.abs(got.astype(float) - colour / 257).max() < 1


def test_cmyk_of_a_camera_held_sideways():
    inks = np.zeros((2, 3, 4), np.uint8)
    inks[0] = [0, 255, 255, 0]
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    got = read_picture(written(PIL.Image.fromarray(inks, "CMYK"), "jpeg", exif=exif.tobytes(), quality=100))
    assert got.shape == (3, 2, 3)
    assert (got[:, 1, 0] > 200).all() and (got[:, 1, 1:] < 60).all() and (got[:, 0] > 200).all()  # red at the right


def test_cmyk_inks_become_light():
    inks = np.array([[[0, 0, 0, 0], [255, 255, 255, 0], [255, 0, 0, 0], [0, 0, 0, 255]]], np.uint8)
    got = read_picture(written(PIL.Image.fromarray(inks, "CMYK"), "tiff"))
    np.testing.assert_array_equal(got, [[[255, 255, 255], [0, 0, 0], [0, 255, 255], [0, 0, 0]]])


def test_a_palette_is_looked_up_and_its_transparent_colour_is_white():
    image = PIL.Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    np.testing.assert_array_equal(read_picture(written(image)), [[[10, 20, 30], [40, 50, 60], [70, 80, 90]]])
    got = read_picture(written(image, transparency=1))
    np.testing.assert_array_equal(got, [[[10, 20, 30], [255, 255, 255], [70, 80, 90]]])


def test_transparency_is_on_white():
    rgba = np.array([[[200, 0, 0, 255], [200, 0, 0, 0], [0, 0, 0, 128]]], np.uint8)
    got = read_picture(written(PIL.Image.fromarray(rgba)))
    np.testing.assert_array_equal(got, [[[200, 0, 0], [255, 255, 255], [127, 127, 127]]])


def test_grey_and_black_and_white():
    grey = PIL.Image.fromarray(np.array([[0, 128, 255]], np.uint8))
    np.testing.assert_array_equal(read_picture(written(grey))[..., 1], [[0, 128, 255]])
    np.testing.assert_array_equal(read_picture(written(grey.convert("1", dither=0)))[..., 2], [[0, 255, 255]])


def test_the_first_frame_of_an_animation(pixels):
    frames = [PIL.Image.fromarray(x) for x in (pixels, 255 - pixels)]
    file = written(frames[0], "webp", save_all=True, append_images=frames[1:], lossless=True)
    np.testing.assert_array_equal(read_picture(file), pixels)


def test_the_first_frame_of_a_gif():
    grey = np.repeat(np.arange(0, 240, 40, np.uint8)[None, :, None], 3, -1)
    frames = [PIL.Image.fromarray(x) for x in (grey, 255 - grey)]
    np.testing.assert_array_equal(
        read_picture(written(frames[0], "gif", save_all=True, append_images=frames[1:])), grey
    )


def png(*, width: int, height: int, bits: int = 8, data: bytes) -> io.BytesIO:
    """A file of what its header says and what it holds."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + parts)


@pytest.mark.parametrize("side", [9000, 60000])
def test_a_decompression_bomb_is_not_opened(side):
    with pytest.raises(ValueError, match="pixels") as error:
        read_picture(png(width=side, height=side, data=zlib.compress(b"\0")))
    assert "\n" not in str(error.value)


def test_floating_point_has_no_range():
    with pytest.raises(ValueError, match="floating point"):
        read_picture(written(PIL.Image.fromarray(np.ones((2, 2), np.float32)), "tiff"))


@pytest.mark.parametrize("damage", [lambda data: b"no picture", lambda data: data[: len(data) // 2], lambda data: b""])
def test_a_damaged_file_is_one_clear_line(pixels, damage):
    data = written(PIL.Image.fromarray(np.tile(pixels, (20, 20, 1)))).getvalue()
    with pytest.raises(ValueError, match="not a readable picture") as error:
        read_picture(io.BytesIO(damage(data)))
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.png: no such picture"):
        read_picture(tmp_path / "none.png")
