r"""Emu3 (arXiv:2409.18869): words and codes of pictures in one vocabulary, one Llama, one loss. It reads and draws.

  ujx train --config configs/emu3.py --workdir runs/emu3                  the tiny variant, on the shapes data
  ujx train --config configs/emu3.py:gen --workdir runs/emu3_gen          the published sizes, for a TPU pod
  smoke:  --config configs/emu3.py:debug

chat is trained to read, gen to draw; their networks are alike. Sizes: BAAI/Emu3-Chat-hf and Emu3-Gen-hf, whose
config.json is transformers' defaults. guidance_scale: the model card. Scores: not measured yet.
"""

from configs import published
from configs.published import DEBUG, HALF, TEXT, TINY, benchmarks, data, given, objectives, texts
from unified_jax.models.emu3 import CODE, END_OF_ROW

__all__ = ["benchmarks", "data", "get_config", "given", "model", "objectives", "texts"]

PUBLISHED = dict(
    config=dict(
        model_type="emu3",
        text_config=dict(
            model_type="emu3_text_model",
            vocab_size=184_622,
            hidden_size=4096,
            intermediate_size=14_336,
            num_hidden_layers=32,
            num_attention_heads=32,
            num_key_value_heads=8,
        ),
        vq_config=dict(
            model_type="emu3_vqgan",
            codebook_size=32_768,
            embed_dim=4,
            latent_channels=4,
            base_channels=256,
            channel_multiplier=(1, 2, 2, 4),
            num_res_blocks=2,
            attn_resolutions=(3,),
            temporal_downsample_factor=4,
        ),
    ),
    preprocessor_config=dict(
        image_processor_type="Emu3ImageProcessor",
        min_pixels=512 * 512,
        max_pixels=1024 * 1024,
        spatial_factor=8,
        image_mean=HALF,
        image_std=HALF,
    ),
    processor_config=dict(image_area=720 * 720),
    generation_config=published.ENDS,
)


def small(name: str, picture: int, multiplier: tuple[int, ...], codes: int) -> dict:
    text = TEXT[name] | dict(vocab_size=520 + codes)
    vq = dict(
        codebook_size=codes,
        base_channels=32,
        channel_multiplier=multiplier,
        num_res_blocks=1,
        attn_resolutions=(len(multiplier) - 1,),
        temporal_downsample_factor=2,
    )
    area = picture * picture
    read = dict(min_pixels=area, max_pixels=area, spatial_factor=2 ** (len(multiplier) - 1))
    return dict(
        picture=picture,
        config=dict(text_config=text, vq_config=vq),
        preprocessor_config=read,
        processor_config=dict(image_area=area),
    )


VARIANTS = {
    "chat": dict(picture=720),
    "gen": dict(picture=720),
    TINY: small(TINY, 32, (1, 2, 2), 512),
    DEBUG: small(DEBUG, 24, (1, 1, 1), 32),
}
TASKS = {"chat": published.READS, "gen": published.DRAWS}


def get_config(arg=None):
    tasks = TASKS.get(arg, published.BOTH)
    c = published.base(
        "configs/emu3.py",
        arg,
        published=PUBLISHED,
        variants=VARIANTS,
        tasks=tasks,
        drawing=dict(guidance_scale=3.0, image_temperature=1.0, top_k=2048),
        special={"eof_token": "<eof>", "image_wrapper_token": "<image size>"},
    )
    side = c.picture // c.published.preprocessor_config.spatial_factor
    c.packing.layouts = (published.layout(160 + 2 * side * (side + 1)),)
    return c


def model(c, tokenizer):
    codes = map(CODE.format, range(c.published.config.vq_config.codebook_size))
    return published.model(c, tokenizer, mapped=("<image>", END_OF_ROW, *codes))
