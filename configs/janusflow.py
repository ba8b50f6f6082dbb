r"""JanusFlow (arXiv:2411.07975): SigLIP to read, a rectified flow of SDXL's latents to draw, one Llama.

  ujx train --config configs/janusflow.py --workdir runs/janusflow             the tiny variant, on the shapes data
  ujx train --config configs/janusflow.py:v1_1b --workdir runs/janusflow_1b    the published sizes, for a TPU pod
  smoke:  --config configs/janusflow.py:debug

Sizes: config.json of deepseek-ai/JanusFlow-1.3B and of stabilityai/sdxl-vae; steps and guidance_scale: its
demo/app_janusflow.py; times: section 3.2 of the paper, whose alignment of representations is not trained here. Scores:
not measured yet.
"""

from configs import published
from configs.published import DEBUG, HALF, TEXT, TINY, VISION, benchmarks, data, given, model, texts
from unified_jax.core.noise import logit_normal
from unified_jax.models.janusflow import PATH
from unified_jax.objectives.flow import Flow
from unified_jax.objectives.next_token import NextToken

__all__ = ["benchmarks", "data", "get_config", "given", "model", "objectives", "texts"]


def blocks(levels: int) -> dict[str, tuple[str, ...]]:
    return dict(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
    )


MIDDLE = dict(block_out_channels=(768,), hidden_size=2048, layers_in_middle=2, norm_eps=1e-6)
PUBLISHED = {
    "config": dict(
        model_type="multi_modality",
        language_config=dict(
            model_type="llama",
            vocab_size=102_400,
            hidden_size=2048,
            intermediate_size=5632,
            num_hidden_layers=24,
            num_attention_heads=16,
            rms_norm_eps=1e-6,
            max_position_embeddings=16_384,
        ),
        vision_und_enc_config=dict(params=dict(model_name="siglip_large_patch16_384", image_size=384, select_layer=-1)),
        vision_gen_enc_config=dict(params=MIDDLE | dict(kernel_size=2, stride=2, padding=0)),
        vision_gen_dec_config=dict(params=MIDDLE | dict(upsamples=1)),
    ),
    "preprocessor_config": dict(
        image_processor_type="VLMImageProcessor",
        image_size=384,
        min_size=14,
        image_mean=HALF,
        image_std=HALF,
    ),
    "vae/config": dict(
        _class_name="AutoencoderKL",
        act_fn="silu",
        block_out_channels=(128, 256, 512, 512),
        latent_channels=4,
        layers_per_block=2,
        norm_num_groups=32,
        out_channels=3,
        scaling_factor=0.13025,
        **blocks(4),
    ),
}


def small(name: str, picture: int, *, upsamples: int, middle: int, layers: int, widths: tuple[int, ...]) -> dict:
    """A patch and a square of latents stand for the same 8 x 8 pixels."""
    text, vision, patch = TEXT[name], VISION[name], 2**upsamples
    between = dict(block_out_channels=(middle,), layers_in_middle=layers, hidden_size=text["hidden_size"])
    tower = dict(
        patch_size=8,
        width=vision["hidden_size"],
        layers=vision["num_hidden_layers"],
        heads=vision["num_attention_heads"],
        mlp_ratio=3,
    )
    return {
        "picture": picture,
        "config": dict(
            language_config=text,
            vision_und_enc_config=dict(params=dict(model_name="siglip_small", image_size=picture)),
            vision_gen_enc_config=dict(params=between | dict(kernel_size=patch, stride=patch)),
            vision_gen_dec_config=dict(params=between | dict(upsamples=upsamples)),
            siglip_small=tower,
        ),
        "preprocessor_config": dict(image_size=picture),
        "vae/config": dict(
            block_out_channels=widths,
            layers_per_block=1,
            norm_num_groups=4,
            scaling_factor=1.0,  # that of the codec that is trained here
            **blocks(len(widths)),
        ),
    }


VARIANTS = {
    "v1_1b": dict(picture=384),
    TINY: small(TINY, 32, upsamples=1, middle=96, layers=2, widths=(32, 64, 64)),
    DEBUG: small(DEBUG, 24, upsamples=2, middle=16, layers=1, widths=(8, 8)),
}


def get_config(arg=None):
    c = published.base(
        "configs/janusflow.py",
        arg,
        published=PUBLISHED,
        variants=VARIANTS,
        tasks=published.BOTH,
        drawing=dict(steps=30, guidance_scale=2.0),
        added=("<end_of_image>",),
    )
    latent = 2 ** (len(c.published["vae/config"].block_out_channels) - 1)
    entries = (c.picture // (latent * c.published.config.vision_gen_enc_config.params.stride)) ** 2
    c.packing.layouts = (published.layout(320, begin=1, vision=entries, image=1 + entries),)
    return c


def objectives(c):
    return NextToken("text"), Flow("image", path=PATH, time=logit_normal)
