"""Optimizers from config values: warm-up and cosine, AdamW or Muon, clipping on by default, frozen parts by pattern."""

import math
import re
from functools import partial
from typing import Any

import jax
import optax
from optax.contrib import MuonDimensionNumbers

from unified_jax.core.paths import path_name

CRITIC = "judges_critic/.*"


def schedule(c: Any, step: int, steps: int) -> float:
    """What the learning rates are multiplied by at update ``step`` (from 0) of ``steps``.

    Linear warm-up from 0 over ``c.warmup`` updates, then a cosine from 1 to ``c.final``. On the host, and not part of
    the optimizer, so that the number of steps may change while training without compiling anew.
    """
    warmup = min(c.warmup, max(steps - 1, 0))
    if step < warmup:
        return step / warmup
    progress = min(1.0, (step - warmup) / max(steps - warmup, 1))
    return c.final + (1 - c.final) * (1 + math.cos(math.pi * progress)) / 2


def optimizer(c: Any) -> optax.GradientTransformation:
    """The chain of clipping and updates at the peak learning rates, with frozen parameters left out.

    c: name ("adamw" | "muon"), learning_rate, warmup, final, weight_decay, b1, b2, clip, freeze, averaged; for muon
      also matrix_learning_rate. ``freeze`` is a regex of parameter paths that get no update, ``averaged`` of those that
      are moving averages, whose gradient is subtracted as it is (``codecs/quantisers/moving.py``). ``critic``, where it
      is there: such values for a critic that trains beside (``models/judges.py``), an optimizer of its own.
    Every update is proportional to the learning rates, decay included, so ``schedule`` multiplies it afterwards. With
    muon, weight decay applies to the matrices that it orthogonalises and to no other kernel. Raises ValueError for an
    unknown name.
    """
    adamw = dict(b1=c.b1, b2=c.b2, weight_decay=c.weight_decay, mask=_decayed)
    if c.name == "adamw":
        update = optax.adamw(c.learning_rate, **adamw)
    elif c.name == "muon":
        update = optax.contrib.muon(
            c.matrix_learning_rate,
            adam_learning_rate=c.learning_rate,
            adam_b1=c.b1,
            adam_b2=c.b2,
            weight_decay=c.weight_decay,
            weight_decay_mask=_decayed,
            # Scaled by its own Gram matrix first, a momentum needs 3 iterations where it needed 5.
            preconditioning="aol",
            ns_steps=3,
            muon_weight_dimension_numbers=_matrices,
        )
    else:
        raise ValueError(f"unknown optimizer {c.name!r}; choose adamw or muon")
    chain = optax.chain(optax.clip_by_global_norm(c.clip), update) if c.clip else update
    critic = {"critic": optimizer(c.critic)} if "critic" in c else {}
    if not c.freeze and not c.averaged and not critic:
        return chain

    def label(path, _) -> str:
        name = path_name(path)
        if re.fullmatch(c.freeze, name):
            return "frozen"
        if re.fullmatch(c.averaged, name):
            return "averaged"
        return "critic" if critic and re.fullmatch(CRITIC, name) else "trained"

    parts = {"trained": chain, "frozen": optax.set_to_zero(), "averaged": optax.scale(-1.0), **critic}
    return optax.multi_transform(parts, partial(jax.tree_util.tree_map_with_path, label))


def _decayed(params: Any) -> Any:
    """Weight decay applies to kernels only: never to norms, biases, tables or positions."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path_name(path).endswith("/kernel"), params)


def _matrices(params: Any) -> Any:
    """Which parameters Muon orthogonalises: the kernels of the scanned layers, one matrix for each layer and head.

    Heads work apart from each other, and 32 x 192 matrices cost a sixth of what one of 192 x 192 does.
    """

    def numbers(path, x):
        name = path_name(path)
        if not re.search(r"/layer/.*/kernel$", name):
            return None
        heads_last = re.search(r"/[qkv]_[^/]+/kernel$", name)  # [L D H C]; all others end in their matrix, [... D E]
        return MuonDimensionNumbers(reduction_axis=x.ndim - 3 if heads_last else x.ndim - 2, output_axis=x.ndim - 1)

    return jax.tree_util.tree_map_with_path(numbers, params)
