"""Classifier-free guidance (arXiv:2207.12598, eq. 6): without + scale (with - without).

On velocities, noise, clean predictions or logits alike: for one x_t, what any of them says of another is affine in it
(``core.noise.prediction``), and guidance keeps affine relations.
"""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp

from unified_jax.core.noise import over
from unified_jax.core.types import Array, Float, Int

Correction = Callable[[Array, Array], Array]  # (guided, conditioned) -> guided


def towards(
    without: Float[Array, "B ..."], conditioned: Float[Array, "B ..."], scale: Float[Array, "B"] | float
) -> Float[Array, "B ..."]:
    """From the prediction without the condition towards the one with it, and beyond for a scale above 1."""
    return without + over(scale, conditioned) * (conditioned - without)


def guide(
    prediction: Float[Array, "B ..."], scale: Float[Array, "B"] | float, *, null: Int[Array, "B"]
) -> Float[Array, "B ..."]:
    """null + scale * (conditioned - null), row by row.

    null: for each row the row that runs without the condition; a row that names itself is returned unchanged, whatever
    its scale, so that guided and unguided requests share a batch.
    """
    return towards(prediction[null], prediction, scale)


def unchanged(guided: Array, conditioned: Array) -> Array:
    """No correction."""
    return guided


def two_conditions(
    both: Float[Array, "B ..."],
    without_text: Float[Array, "B ..."],
    *,
    without_image: Float[Array, "B ..."],
    text_scale: Float[Array, "B"] | float,
    image_scale: Float[Array, "B"] | float,
    correct_text: Correction = unchanged,
) -> Float[Array, "B ..."]:
    """neither + image_scale (image - neither) + text_scale (both - image) (InstructPix2Pix, arXiv:2211.09800, eq. 3).

    without_text: with the given pictures alone. without_image: with neither. correct_text: of what the text guided.
    """
    text = correct_text(towards(without_text, both, text_scale), both)
    return text + over(image_scale - 1, both) * (without_text - without_image)


def nested(
    both: Float[Array, "B ..."],
    without_text: Float[Array, "B ..."],
    *,
    without_image: Float[Array, "B ..."],
    text_scale: Float[Array, "B"] | float,
    image_scale: Float[Array, "B"] | float,
    correct_text: Correction = unchanged,
) -> Float[Array, "B ..."]:
    """Guided by the text first, then by the picture (github.com/bytedance-seed/BAGEL, ``modeling/bagel/bagel.py``).

    without_image: with the text alone. correct_text: BAGEL's "text_channel" renormalisation.
    """
    text = correct_text(towards(without_text, both, text_scale), both)
    return towards(without_image, text, image_scale)


def within(
    scale: Float[Array, "*B"] | float, t: Float[Array, "*B"], interval: tuple[float, float]
) -> Float[Array, "*B"]:
    """The scale at times low < t <= high, and 1, no guidance, elsewhere (arXiv:2404.07724)."""
    low, high = interval
    return jnp.where((t > low) & (t <= high), scale, 1.0)


@dataclasses.dataclass(frozen=True)
class ClassifierFree:
    """How a drawn picture is guided at every step.

    pair: how text and given pictures guide together, ``two_conditions`` or ``nested``; what the row without pictures
    holds is for the family to say (``Family.blind``). interval: times (low, high] at which it is guided. correct: of
    the guided output, by the conditioned one: one of ``guidance.correct``. correct_text: the same of what the text
    alone has guided, before the given pictures do.
    """

    pair: Callable[..., Array] = two_conditions
    interval: tuple[float, float] = (0.0, 1.0)
    correct: Correction | None = None
    correct_text: Correction | None = None

    def __call__(
        self,
        output: Float[Array, "B ..."],
        scale: Float[Array, "B"],
        *,
        null: Int[Array, "B"],
        t: Float[Array, "B"],
        image_scale: Float[Array, "B"] | float = 1.0,
        blind: Int[Array, "B"] | None = None,
    ) -> Float[Array, "B ..."]:
        """scale, null: as in ``guide``; t: time of every row. image_scale, blind: the same, for the row that runs
        without the given pictures; None where no row does.
        """
        alone = over(null == jnp.arange(len(null)), output)
        keep = lambda correct: lambda guided, conditioned: jnp.where(alone, guided, correct(guided, conditioned))
        corrects = [unchanged if each is None else keep(each) for each in (self.correct, self.correct_text)]
        scale, image_scale = (within(each, t, self.interval) for each in (scale, image_scale))
        guided = self.pair(
            output,
            output[null],
            without_image=output if blind is None else output[blind],
            text_scale=scale,
            image_scale=image_scale,
            correct_text=corrects[1],
        )
        return corrects[0](guided, output)
