r"""A representation autoencoder of the shapes world: a published vision encoder, frozen, and a decoder trained here.

  ujx train --config configs/tokenizer/representation.py --workdir runs/representation --config.folder=PATH
  smoke, with a small encoder of random weights:  --config configs/tokenizer/representation.py:debug

PATH: the folder of a DINOv2 or SigLIP vision encoder. Its patches are resized to the 8 x 8 of the decoder. No figures
are given: no such encoder comes with the project.
"""

import json
from pathlib import Path

from configs.tokenizer import shapes
from configs.tokenizer.shapes import benchmarks, data, objectives, texts
from unified_jax.models.pretrained import from_pretrained
from unified_jax.models.representation import representation

__all__ = ["benchmarks", "data", "get_config", "given", "model", "objectives", "texts"]

TINY = dict(
    model_type="dinov2", hidden_size=16, num_hidden_layers=1, num_attention_heads=2, patch_size=4, image_size=16
)


def get_config(arg=None):
    if arg not in (None, "debug"):
        raise ValueError(f"configs/tokenizer/representation.py: unknown variant {arg!r}; there is 'debug'")
    c = shapes.get_config(arg)
    c.folder = ""
    c.optimizer.freeze = "codec/(encoder/.*|pixel_.*|latent_.*)"
    c.model = dict(width=192, depth=4, num_heads=6, hidden=768, patch=4, noise=0.2, image_size=(32, 32))
    if arg == "debug":
        c.model.update(width=16, depth=1, num_heads=2, hidden=32, encoder=TINY)
    return c


def model(c, tokenizer):
    arguments = c.model.to_dict()
    if "encoder" not in arguments:
        if not c.folder:
            raise ValueError("configs/tokenizer/representation.py needs --config.folder=PATH of a vision encoder")
        arguments["encoder"] = json.loads((Path(c.folder) / "config.json").read_text(encoding="utf-8"))
    return representation(tokenizer, **arguments)


def given(c, model):
    return {"codec": {"encoder": {"encoder": from_pretrained(c.folder)[1]}}} if c.folder else {}
