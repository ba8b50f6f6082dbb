"""A language model between the two ends of a masked autoencoder (Harmon, arXiv:2503.21979, section 3; Skywork UniPic,
arXiv:2508.03320, section 3).

    encoded = encoder(payload)                                     of what is shown, which sees all of itself
    embedded    in(encoded)
    read        decoder(encoded + out(states))

The language model reads entries in order, and the buffer behind them.
"""

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.sequence import Draft, Payload, one_block
from unified_jax.core.types import Array, Float, Int
from unified_jax.nn.masked_picture import MaskedEmbed, MaskedHead, Norm
from unified_jax.nn.mlp import Mlp
from unified_jax.nn.stack import Stack


class MaskedEncoder(nn.Module):
    """embed, then stack, then norm."""

    embed: MaskedEmbed
    stack: Stack
    norm: Norm

    @nn.compact
    def __call__(self, payload: Payload) -> Float[Array, "B N D"]:
        """Hidden entries are not there: what stands in their places nobody should read."""
        of = self.embed.pictures
        if not of.count(payload.values):
            return jnp.zeros((*payload.slot.shape, self.embed.width), self.embed.dtype)
        x = self.embed.split(payload)
        slots = one_block(*x.shape[:2])
        slots = slots.replace(doc=jnp.where(of.split(payload.time > 0), 0, slots.doc))
        states, _ = self.stack({"main": x}, slots=slots)
        return of.join(self.norm(name="norm")(states["main"]), like=payload.values)


class BridgedEmbed(nn.Module):
    """The embedder of the stream. project: to the language model's width."""

    encoder: MaskedEncoder
    project: Mlp

    def __call__(self, payload: Payload, pos: Int[Array, "B N A"]) -> Float[Array, "B N D"]:
        return self.project(self.encoder(payload))


class BridgedHead(nn.Module):
    """The head of the stream, of two parts as ``MaskedHead``. encoder: the embedder's own. project: to its width."""

    encoder: MaskedEncoder
    project: Mlp
    head: MaskedHead

    def __call__(self, states: Float[Array, "B N D"], payload: Payload) -> Float[Array, "B N P"]:
        return self.head(self._bridged(states, payload), payload)

    def conditions(self, states: Float[Array, "B N D"], payload: Payload) -> Float[Array, "B N E"]:
        """What is known of every entry, given those that are shown."""
        return self.head.conditions(self._bridged(states, payload), payload)

    def denoised(self, conditions: Float[Array, "B N E"], draft: Draft) -> Float[Array, "B N P"]:
        """What the denoiser makes of drafts of any entries, given what is known of those."""
        return self.head.denoised(conditions, draft)

    def _bridged(self, states: Float[Array, "B N D"], payload: Payload) -> Float[Array, "B N E"]:
        return self.encoder(payload) + self.project(states)
