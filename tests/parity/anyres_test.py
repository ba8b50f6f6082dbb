"""Any resolution against transformers: which patches stand where, for pictures of many shapes."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers

from unified_jax.models.any_resolution import AnyRes
from unified_jax.models.published import Config
from unified_jax.nn.tiled import Places, payload_of

SIDE, PATCH, WIDTH = 36, 8, 6
RESOLUTIONS = [[SIDE * rows, SIDE * columns] for rows in range(1, 4) for columns in range(1, 5)]
# Wide, tall, of one pixel, as large as all tiles, odd, very long
SHAPES = [(30, 43), (151, 60), (1, 1), (108, 144), (107, 131), (20, 400), (300, 7)]


@pytest.mark.parametrize("aspect", ["anyres_max_9", "anyres_max_3"])
def test_what_is_shown_of_a_picture_is_what_the_reference_shows(aspect):
    fields = {"vision_config": {"image_size": SIDE, "patch_size": PATCH}, "image_grid_pinpoints": RESOLUTIONS}
    ours = AnyRes.of(Config(fields | {"vision_aspect_ratio": aspect}), (SIDE // PATCH, SIDE // PATCH))
    vision = SimpleNamespace(image_size=SIDE, patch_size=PATCH)
    model = SimpleNamespace(config=SimpleNamespace(vision_config=vision, image_grid_pinpoints=RESOLUTIONS))
    pack, rng = transformers.LlavaOnevisionModel.pack_image_features, np.random.default_rng(0)
    newline = rng.normal(size=WIDTH)
    for height, width in SHAPES:
        states = rng.normal(size=(ours.tiles(height, width), (SIDE // PATCH) ** 2, WIDTH))
        sizes = torch.tensor([[height, width]])
        given = [torch.from_numpy(states)], sizes, torch.from_numpy(newline)
        (want,), _ = pack(model, *given, vision_aspect_ratio=aspect)
        places = ours.places(height, width)
        four = states.reshape(-1, WIDTH)[places.patch.astype(int)]
        got = np.einsum("nk,nkd->nd", places.weight, four) + places.newline[:, None] * newline
        np.testing.assert_allclose(got, want, atol=1e-12, err_msg=f"{height} x {width}")
        assert payload_of(states, places, share=ours.share).shape[0] == len(want)


def test_a_picture_too_long_for_its_width_is_refused():
    places = Places(np.zeros((3, 4)), np.zeros((3, 4)), np.zeros(3))
    with pytest.raises(ValueError, match="picture of 8 patches for 3 entries"):
        payload_of(np.zeros((2, 4, WIDTH)), places, share=2)
