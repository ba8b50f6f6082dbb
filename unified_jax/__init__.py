"""unified_jax: models that understand and generate, in JAX and Flax. ``import unified_jax as uj``.

doc = [uj.Text("a large red circle at the top"), uj.Image(target=True)]
model, params = uj.from_pretrained("runs/demo/model")
out = uj.generate(model, params, doc, guidance_scale=1.5, steps=25)      # -> Document
"""

import importlib

__version__ = "0.1.0"

# What is public, and where it lives. Loaded when first used: importing the package alone stays quick.
_PUBLIC = {
    "Answer": "unified_jax.data.document",
    "Document": "unified_jax.data.document",
    "Text": "unified_jax.data.document",
    "Image": "unified_jax.data.document",
    "Span": "unified_jax.data.plan",
    "Layout": "unified_jax.data.pack",
    "Experiment": "unified_jax.train.experiment",
    "pack": "unified_jax.data.pack",
    "generate": "unified_jax.sampling.generate",
    "generate_batch": "unified_jax.sampling.generate",
    "init": "unified_jax.train.experiment",
    "from_pretrained": "unified_jax.models.pretrained",
    "save_pretrained": "unified_jax.models.pretrained",
    "load_lora": "unified_jax.models.lora",
    "open_preprocess": "unified_jax.data.preprocess",
    "read_picture": "unified_jax.data.picture",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'unified_jax' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
