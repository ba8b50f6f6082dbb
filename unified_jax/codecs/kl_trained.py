"""KlTrained: a published codec of normally distributed latents as it is trained (arXiv:2112.10752, section 3.1).

z ~ q(z | x)      x' = draw(z)      penalty = beta * KL(q || N(0, 1)), of every place
"""

import flax.linen as nn

from unified_jax.codecs.gaussian import Drawn
from unified_jax.codecs.posterior import latents_of
from unified_jax.core.types import Array, Float


class KlTrained(nn.Module):
    """codec: ``KlPicture`` or ``KlVideo``, whose parameters are this one's."""

    codec: nn.Module
    beta: float

    def setup(self):
        nn.share_scope(self, self.codec)

    @property
    def factor(self) -> int:
        """Pixels per latent, along a side."""
        return self.codec.factor

    def __call__(self, pixels: Float[Array, "B H W 3"]) -> tuple[Array, Drawn]:
        """Pixels in [-1, 1] -> their reconstruction, and the latents of it: drawn where there is a key "sample"."""
        posterior = self.codec.posterior(pixels)
        latents, nats = latents_of(self, posterior), posterior.kl()
        return self.codec.draw(latents), Drawn(latents, self.beta * nats, nats)
