r"""The codecs of the small published systems, trained on the shapes world: 32 px pictures as codes of 512, or latents.

  ujx train --config configs/tokenizer/systems.py:janus --workdir runs/codecs/janus
  ujx train --config configs/janus.py --workdir runs/janus --config.codec.folder=runs/codecs/janus/model
  smoke:  --config configs/tokenizer/systems.py:debug

Also emu3, llamagen, show_o, mmada and var; janusflow, show_o2, bagel and mogao, whose codecs make latents. The networks
have the sizes that the tiny variant of each system has, and objective and optimizer are those of
configs/tokenizer/shapes.py. Not measured yet. Chameleon's was published without a decoder: it is not trained here.
"""

from configs import bagel, common, emu3, janus, janusflow, llamagen, mmada, mogao, show_o, show_o2, var
from configs.tokenizer import shapes
from configs.tokenizer.shapes import benchmarks, data, objectives, texts
from unified_jax.models.retrained import retrained

__all__ = ["benchmarks", "data", "get_config", "model", "objectives", "texts"]

CODECS = {
    "janus": lambda variant: janus.get_config(variant).published.config.vq_config,
    "emu3": lambda variant: emu3.get_config(variant).published.config.vq_config,
    "llamagen": lambda variant: llamagen.get_config(variant).published.config.vq,
    "show_o": lambda variant: show_o.get_config(variant).published["magvitv2/config"],
    "mmada": lambda variant: mmada.get_config(variant).published["magvitv2/config"],
    "var": lambda variant: var.get_config(variant).published.config.vae,
    "janusflow": lambda variant: janusflow.get_config(variant).published["vae/config"],
    "show_o2": lambda variant: show_o2.get_config(variant).published["vae/config"],
    "bagel": lambda variant: bagel.get_config(variant).published.config.vae_config,
    "mogao": lambda variant: mogao.get_config(variant).published.config.vae_config,
}
FACTOR = 4  # pixels of a code, along a side


def get_config(arg=None):
    if arg not in (None, "debug", *CODECS):
        known = ", ".join(("debug", *CODECS))
        raise ValueError(f"configs/tokenizer/systems.py: unknown variant {arg!r}; there are {known}")
    debug = arg == "debug"
    c = shapes.get_config("debug" if debug else None)
    codec = CODECS["show_o" if debug or arg is None else arg]("debug" if debug else "tiny")
    c.model = dict(codec=codec.to_dict(), image_size=(24, 24) if debug else (32, 32))
    c.packing.layouts = (common.layout((side := c.model.image_size[0] // FACTOR) ** 2, image=side**2),)
    return c


def model(c, tokenizer):
    return retrained(tokenizer, c.model.codec.to_dict(), image_size=tuple(c.model.image_size))
