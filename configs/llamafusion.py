r"""LlamaFusion (arXiv:2412.15188): Transfusion on a Llama-3 that stays as it is, and a copy of it for pictures.

  ujx train --config configs/llamafusion.py --workdir runs/llamafusion          the tiny variant, on the shapes data
  ujx train --config configs/llamafusion.py:v8b --workdir runs/llamafusion_8b   the published sizes, for a TPU pod
  smoke:  --config configs/llamafusion.py:debug

Sizes: Meta-Llama-3-8B, twice its layers, and Transfusion's U-Net. v8b starts from --config.language_model, a folder of
those weights: words are theirs, frozen, and pictures begin with a copy. Small variants start from chance, and freeze
nothing but the codec. Optimizer and weight of the diffusion: as in configs/transfusion.py. Scores: not measured yet.
"""

from configs import published, transfusion
from configs.published import DEBUG, TINY, benchmarks, data, model, texts
from configs.transfusion import UNET, VAE, objectives
from unified_jax.models import mixture
from unified_jax.models.pretrained import from_pretrained

__all__ = ["benchmarks", "data", "get_config", "given", "model", "objectives", "texts"]

LLAMA_3_8B = dict(
    model_type="llama",
    vocab_size=128_256,
    hidden_size=4096,
    intermediate_size=14_336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    max_position_embeddings=8192,
    rms_norm_eps=1e-5,
    rope_theta=500_000.0,
)
PUBLISHED = dict(
    transfusion.PUBLISHED,
    config=dict(transfusion.PUBLISHED["config"], model_type="llamafusion", text_config=LLAMA_3_8B),
)


def small(name: str, picture: int) -> dict:
    return transfusion.small(name, picture)


VARIANTS = {
    "v8b": dict(picture=256, config=dict(vae_config=VAE, unet_config=UNET)),
    TINY: small(TINY, 32),
    DEBUG: small(DEBUG, 24),
}


def get_config(arg=None):
    c = transfusion.fused("configs/llamafusion.py", arg, files=PUBLISHED, variants=VARIANTS, lane=mixture.PICTURE)
    c.language_model = ""
    if arg not in (TINY, DEBUG, None):
        c.optimizer.freeze = mixture.TEXT_SIDE
    return c


def given(c, model):
    codec = published.given(c, model)
    if not c.language_model and c.optimizer.freeze == mixture.TEXT_SIDE:
        raise ValueError("the words' weights are frozen: set language_model to the folder that they come from")
    if not c.language_model:
        return codec
    _, params = from_pretrained(c.language_model)
    return codec | mixture.grown(params)
