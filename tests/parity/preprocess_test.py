"""Preprocessing against transformers: its own processors, configs as they are published, pictures of many shapes."""

import json

import numpy as np
import pytest
import transformers
from PIL import Image
from transformers.image_transforms import get_size_with_aspect_ratio

from unified_jax.core.pictures import pack_pictures
from unified_jax.data.picture_size import size_of
from unified_jax.data.preprocess import open_preprocess, preprocess_of

# (height, width): wide, tall, smaller than any crop, odd, of one pixel, very long
SHAPES = [(300, 431), (517, 260), (20, 31), (225, 225), (1, 1), (7, 400)]
CONFIGS = {
    "clip": dict(image_processor_type="CLIPImageProcessor"),
    "clip-early": dict(feature_extractor_type="CLIPFeatureExtractor", size=224, crop_size=224, resample=3),
    "clip-336": dict(
        image_processor_type="CLIPImageProcessorFast",
        size={"shortest_edge": 336},
        crop_size={"height": 336, "width": 336},
    ),
    "crop-only": dict(
        image_processor_type="CLIPImageProcessor", do_resize=False, crop_size={"height": 33, "width": 300}
    ),
    "raw": dict(image_processor_type="CLIPImageProcessor", do_rescale=False, do_normalize=False, do_center_crop=False),
    "siglip": dict(image_processor_type="SiglipImageProcessor", size={"height": 384, "width": 384}),
    "lanczos": dict(image_processor_type="SiglipImageProcessor", size={"height": 50, "width": 70}, resample=1),
    "blip": dict(image_processor_type="BlipImageProcessor"),
    "blip-early": dict(image_processor_type="BlipImageProcessor", size=224),
    "dinov2": dict(
        image_processor_type="BitImageProcessor",
        size={"shortest_edge": 256},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    ),
    "chameleon": dict(image_processor_type="ChameleonImageProcessor", size={"shortest_edge": 96}, crop_size=96),
    "janus": dict(image_processor_type="JanusImageProcessor", size={"height": 96, "width": 96}),
    "janus-unpadded": dict(image_processor_type="JanusImageProcessor", min_size=40, do_pad=False),
    "llava": dict(image_processor_type="LlavaImageProcessor"),
    "llava-padded": dict(image_processor_type="LlavaImageProcessor", do_pad=True),
    "emu3": dict(image_processor_type="Emu3ImageProcessor", min_pixels=64 * 64, max_pixels=160 * 160),
    "llava-onevision": dict(
        image_processor_type="LlavaOnevisionImageProcessor",
        size={"height": 64, "width": 64},
        image_grid_pinpoints=[[64, 64], [64, 128], [128, 64], [128, 128], [64, 192], [192, 64]],
    ),
}


@pytest.fixture(scope="module")
def pictures():
    """Smooth with noise on it: what a resampling does shows in both."""
    rng = np.random.default_rng(0)
    found = []
    for height, width in SHAPES:
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize((width, height))
        found.append(np.clip(np.asarray(coarse) + rng.normal(0, 20, (height, width, 3)), 0, 255).astype(np.uint8))
    return found


def processor(config: dict, suffix: str = "Pil"):
    """The reference that does not need torchvision, whose resizing is Pillow's."""
    name = config.get("image_processor_type", "CLIPImageProcessor").removesuffix("Fast")
    module = getattr(transformers, name + suffix, None) or getattr(transformers, name)
    return module(**{key: value for key, value in config.items() if not key.endswith("_type")})


def grey_levels(config: dict) -> np.ndarray:
    """How much one grey level is in the output, per channel."""
    reference = processor(config)
    level = reference.rescale_factor if reference.do_rescale else 1.0
    return level / np.asarray(reference.image_std) if reference.do_normalize else np.full(3, level)


@pytest.mark.parametrize("name", CONFIGS)
def test_pictures_are_those_of_the_published_processor(name, pictures, tmp_path, record_parity):
    config = CONFIGS[name]
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    ours, reference = open_preprocess(tmp_path), processor(config)
    worst = 0.0
    for picture in pictures:
        if name == "emu3" and picture.shape[0] == 1:
            continue  # the reference takes its rows for channels
        want = np.moveaxis(reference(Image.fromarray(picture), return_tensors="np")["pixel_values"][0], -3, -1)
        got = ours(picture)
        assert got.shape == want.shape and got.dtype == np.float32
        worst = max(worst, float((np.abs(got - want) / grey_levels(config)).max()))
    record_parity(
        f"encoder:preprocess-{name}",
        reference=f"transformers {transformers.__version__}, {type(reference).__name__}",
        what=f"grey levels between {len(pictures)} pictures",
        worst_relative=worst,
        tolerance=1.0,
    )
    assert worst <= 0.01


@pytest.mark.parametrize("patches", [256, 16])
def test_naflex_pictures_are_those_of_the_published_processor(patches, pictures):
    config = dict(image_processor_type="Siglip2ImageProcessor", max_num_patches=patches)
    ours, reference = preprocess_of(config), processor(config)
    for picture in pictures:
        want = reference(Image.fromarray(picture), return_tensors="np")
        rows, columns = want["spatial_shapes"][0]
        got = ours(picture)
        assert got.shape == (16 * rows, 16 * columns, 3)
        packed = pack_pictures([[got]], size=16, capacity=patches)
        np.testing.assert_allclose(packed.patches, want["pixel_values"], atol=1e-5)
        np.testing.assert_array_equal(packed.doc, want["pixel_attention_mask"])


def test_qwen2_vl_pictures_are_those_of_the_published_processor(pictures):
    config = dict(image_processor_type="Qwen2VLImageProcessor", min_pixels=56 * 56, max_pixels=28 * 28 * 40)
    ours, reference = preprocess_of(config), processor(config)
    for picture in pictures:
        want = reference(Image.fromarray(picture), return_tensors="np")
        _, rows, columns = want["image_grid_thw"][0]
        patches = want["pixel_values"].reshape(rows // 2, columns // 2, 2, 2, 3, 2, 14, 14)[:, :, :, :, :, 0]
        whole = np.einsum("RCrcdpq->RrpCcqd", patches).reshape(14 * rows, 14 * columns, 3)
        np.testing.assert_allclose(ours(picture), whole, atol=1e-5)


def test_a_picture_far_longer_than_wide_is_refused():
    with pytest.raises(ValueError, match="image of 1x201 pixels: one side may be at most 200 times"):
        preprocess_of({"image_processor_type": "Qwen2VLImageProcessor"})(np.zeros((201, 1, 3), np.uint8))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_longest_edge_limits_the_shortest(shape):
    size = size_of({"shortest_edge": 60, "longest_edge": 90}, square=False)
    assert size(*shape) == tuple(get_size_with_aspect_ratio(shape, 60, 90))


def test_sizes_in_their_other_forms():
    assert size_of({"max_height": 50, "max_width": 80}, square=False)(100, 200) == (40, 80)
    assert size_of([30, 40], square=False)(7, 5) == (30, 40)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "unknown image processor None"),
        ({"image_processor_type": "ViltImageProcessor"}, "unknown image processor 'ViltImageProcessor'"),
        ({"image_processor_type": "CLIPImageProcessor", "size": {"width": 3}}, "size of width; known are"),
        ({"image_processor_type": "CLIPImageProcessor", "size": "large"}, "size 'large'"),
        ({"image_processor_type": "CLIPImageProcessor", "do_pad": True}, "do_pad"),
        ({"image_processor_type": "JanusImageProcessor", "size": {"height": 3, "width": 4}}, "must be the same"),
        (
            {"image_processor_type": "LlavaOnevisionImageProcessor", "image_grid_pinpoints": [[384, 500]]},
            r"image_grid_pinpoints \[384, 500\]: not whole tiles of 384x384",
        ),
    ],
)
def test_a_config_that_is_not_known_is_refused(config, message):
    with pytest.raises(ValueError, match=message):
        preprocess_of(config)


@pytest.mark.parametrize("pixels", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_picture_is_refused(pixels):
    with pytest.raises(ValueError, match="must be uint8"):
        preprocess_of({"image_processor_type": "CLIPImageProcessor"})(pixels)


def test_a_folder_without_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="preprocessor_config.json"):
        open_preprocess(tmp_path)
