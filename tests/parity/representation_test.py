"""Representation autoencoders against diffusers: the same random weights, float32, through the published layout.

The reference's pixels lie in [0, 1], this library's in [-1, 1].
"""

import diffusers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers
from difference import worst_relative

from unified_jax.models.pretrained import build_component, from_pretrained, save_pretrained

TOLERANCE = 1e-4
SIZES = dict(
    encoder_hidden_size=128,
    encoder_patch_size=14,
    encoder_num_hidden_layers=2,
    encoder_input_size=56,
    decoder_hidden_size=32,
    decoder_num_hidden_layers=2,
    decoder_num_attention_heads=4,
    decoder_intermediate_size=48,
    patch_size=4,
)
STATISTICS = np.random.default_rng(3).uniform(0.5, 2.0, (128, 4, 4)).round(3).tolist()
SHAPES = ((2, 56, 56), (1, 48, 64))  # the second is resized


@pytest.fixture(scope="module", params=["dinov2", "siglip2"])
def pair(request, tmp_path_factory):
    """(kind, the reference, its component and parameters, compiled encode and decode)."""
    kind, folder = request.param, tmp_path_factory.mktemp(request.param)
    statistics = dict(latents_mean=STATISTICS, latents_std=STATISTICS) if kind == "dinov2" else {}
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        # diffusers 0.42.1 asks transformers 5 for a name that SigLIP had in version 4.
        patch.setattr(transformers.SiglipVisionModel, "vision_model", property(lambda self: self), raising=False)
        reference = diffusers.AutoencoderRAE(encoder_type=kind, **SIZES, **statistics).eval()
    with torch.no_grad():
        for weight in reference.parameters():
            constant = bool((weight == weight.flatten()[0]).all())
            weight.add_(0.1 * torch.randn_like(weight)) if constant else None
    reference.save_pretrained(folder)
    component, params = from_pretrained(folder)
    run = lambda method: jax.jit(lambda params, x: component.apply(params, x, method=method))
    return kind, reference, component, params, run("encode"), run("decode")


def pictures(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (*shape, 3)).astype(np.float32)


def reference_encode(reference, pixels: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return np.moveaxis(reference.encode(torch.tensor(np.moveaxis((pixels + 1) / 2, -1, 1))).latent.numpy(), 1, -1)


def reference_decode(reference, latents: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        made = reference.decode(torch.tensor(np.moveaxis(latents, -1, 1))).sample.numpy()
    return 2 * np.moveaxis(made, 1, -1) - 1


def test_encoding_and_decoding_agree(pair, record_parity):
    kind, reference, _, params, encode, decode = pair
    worst = {"encode": 0.0, "decode": 0.0}
    for shape in SHAPES:
        want = reference_encode(reference, pictures(shape))
        worst["encode"] = max(worst["encode"], worst_relative(np.asarray(encode(params, pictures(shape))), want))
        found = np.asarray(decode(params, want))
        worst["decode"] = max(worst["decode"], worst_relative(found, reference_decode(reference, want)))
    record_parity(
        f"codec:rae-{kind}",
        reference=f"diffusers {diffusers.__version__}, AutoencoderRAE",
        what="encode and decode, pixels of 2x56x56 and 1x48x64",
        worst_relative=max(worst.values()),
        tolerance=TOLERANCE,
        **{f"worst_{way}": value for way, value in worst.items()},
    )
    assert max(worst.values()) <= TOLERANCE


def test_written_back_the_reference_reads_the_same_codec(pair, tmp_path, monkeypatch):
    _, reference, component, params, _, _ = pair
    save_pretrained(tmp_path, component, params)
    monkeypatch.setattr(transformers.SiglipVisionModel, "vision_model", property(lambda self: self), raising=False)
    again = diffusers.AutoencoderRAE.from_pretrained(tmp_path).eval()
    latents = reference_encode(reference, pictures(SHAPES[0]))
    np.testing.assert_array_equal(reference_encode(again, pictures(SHAPES[0])), latents)
    np.testing.assert_array_equal(reference_decode(again, latents), reference_decode(reference, latents))


def test_no_gradient_reaches_the_encoder(pair):
    _, _, component, params, _, _ = pair
    pixels = jnp.asarray(pictures((1, 56, 56)))
    loss = lambda params: (component.apply(params, pixels)[0] ** 2).mean()
    slopes = jax.jit(jax.grad(loss))(params)
    assert not any(np.any(x) for x in jax.tree.leaves(slopes["encoder"]))
    assert np.any(slopes["decoder"]["embed"]["kernel"])


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(encoder_type="mae"), "encoder_type 'mae' is not known; known are dinov2, siglip2"),
        (dict(encoder_input_size=57), "encoder_input_size 57 does not divide into patches of 14"),
        (dict(image_size=20), "image_size 20: 4 patches of 4 are decoded"),
    ],
)
def test_what_is_not_known_is_said(change, words):
    with pytest.raises(ValueError, match=words):
        build_component({"_class_name": "AutoencoderRAE", "encoder_type": "dinov2", **SIZES, **change})


def test_latents_are_noisy_in_training_alone(pair):
    _, _, component, params, encode, _ = pair
    pixels = jnp.asarray(pictures((2, 56, 56)))
    module = component.module.clone(noise=0.5)
    run = jax.jit(lambda **rngs: module.apply({"params": params}, pixels, rngs=rngs)[1].vectors)
    clean, noisy = np.asarray(run()), np.asarray(run(sample=jax.random.key(0)))
    np.testing.assert_allclose(clean, encode(params, pixels), rtol=1e-5, atol=1e-5)
    deviation = ((noisy - clean) * np.asarray(params["latent_std"] + 1e-5)).std((1, 2, 3))
    assert (deviation > 0.001).all() and (deviation < 0.55).all() and abs(deviation[0] - deviation[1]) > 1e-3
