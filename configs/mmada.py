r"""MMaDA (arXiv:2505.15809): one LLaDA that writes and draws by uncovering masks, words and codes in one vocabulary.

  ujx train --config configs/mmada.py --workdir runs/mmada            the tiny variant, on the shapes data
  ujx train --config configs/mmada.py:v1_8b --workdir runs/mmada_8b   the published sizes, for a TPU pod
  smoke:  --config configs/mmada.py:debug

Sizes: config.json of Gen-Verse/MMaDA-8B-Base. What is a guidance_scale of 4.5 here the release calls 3.5. Text is
learned by the bound of LLaDA (arXiv:2502.09992, eq. 3), an answer with the end repeated up to 64 ids; pictures as of
Show-o, whose codes they are. Scores: not measured yet.
"""

from configs import published, show_o
from configs.published import DEBUG, TEXT, TINY, benchmarks, data, given, model, texts
from unified_jax.core.discrete import Absorbing
from unified_jax.core.masking import cosine
from unified_jax.models.mmada import HEADERS, HIDDEN, RESERVED
from unified_jax.objectives.discrete_diffusion import DiscreteDiffusion
from unified_jax.objectives.masked import Masked

__all__ = ["benchmarks", "data", "get_config", "given", "model", "objectives", "texts"]

PUBLISHED = {
    "config": dict(
        model_type="mmada",
        vocab_size=134_656,
        d_model=4096,
        mlp_hidden_size=12_288,
        n_layers=32,
        n_heads=32,
        n_kv_heads=32,
        activation_type="silu",
        max_sequence_length=4096,
        rms_norm_eps=1e-5,
        rope_theta=500_000.0,
        mask_token_id=126_336,
        codebook_size=8192,
        num_vq_tokens=1024,
        answer_length=64,  # what sampling makes, unless it is told otherwise
    ),
    "magvitv2/config": dict(model_type="magvitv2"),
}
# A conversation by turns, as of LLaDA's instruction tuning.
TURNS = (
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>{{ '\n' }}"
    "{{ message['content'] }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>{{ '\n' }}{% endif %}"
)


def small(name: str) -> dict:
    """Pictures are those of Show-o. The last id of the vocabulary is the mask."""
    text, drawn = TEXT[name], show_o.VARIANTS[name]
    pictures = {key: drawn["config"][key] for key in ("codebook_size", "num_vq_tokens")}
    mask = text["vocab_size"] + pictures["codebook_size"]
    config = dict(
        vocab_size=mask + 1,
        d_model=text["hidden_size"],
        mlp_hidden_size=text["intermediate_size"],
        n_layers=text["num_hidden_layers"],
        n_heads=text["num_attention_heads"],
        n_kv_heads=text["num_key_value_heads"],
        mask_token_id=mask,
    )
    return {"picture": drawn["picture"], "config": config | pictures, "magvitv2/config": drawn["magvitv2/config"]}


VARIANTS = {"v1_8b": dict(picture=512), TINY: small(TINY), DEBUG: small(DEBUG)}


def get_config(arg=None):
    c = published.base(
        "configs/mmada.py",
        arg,
        published=PUBLISHED,
        variants=VARIANTS,
        tasks=published.BOTH,
        drawing=dict(steps=15, guidance_scale=4.5),
        added=(*RESERVED, *HEADERS),
        template=TURNS,
    )
    entries = c.published.config.num_vq_tokens
    room = dict(prompt=192, text=128, image=2 * entries)
    c.packing.layouts = (published.common.layout(sum(room.values()), **room),)
    return c


def objectives(c):
    words = DiscreteDiffusion("text", Absorbing(c.published.config.mask_token_id))
    return words, Masked("image", HIDDEN, ratio=cosine)
