"""Reading pictures: whole batches of any sizes, and what a user can do wrong, told in one line."""

import numpy as np
import pytest

from unified_jax.codecs.patch import Patches
from unified_jax.data.document import Image
from unified_jax.models.reader import Reader, entries, unprepared

PIXELS = np.zeros((4, 6, 3), np.uint8)


def halved(pixels: np.ndarray) -> np.ndarray:
    return pixels[::2, ::2].astype(np.float32)


def test_pictures_of_different_sizes_are_read_in_their_order():
    pictures = [PIXELS, PIXELS[:, :4] + 1, PIXELS + 2]
    values = Reader(halved, Patches(1)).read(pictures, None)
    assert [x.shape for x in values] == [(2, 3, 3), (2, 2, 3), (2, 3, 3)]
    assert [float(x.max()) for x in values] == [0, 1, 2]


def test_a_folder_without_a_processor_reads_no_pixels():
    with pytest.raises(ValueError, match="no preprocessor_config.json"):
        Reader(unprepared, Patches(1)).read([PIXELS], None)


def test_a_picture_to_draw_or_of_another_grid_is_refused():
    with pytest.raises(ValueError, match="draws none"):
        entries(Image(target=True), grid=(2, 3))
    with pytest.raises(ValueError, match=r"pictures are 2 x 3 patches here, found \(2, 2\)"):
        entries(Image(PIXELS, values=np.zeros((2, 2, 3))), grid=(2, 3))
