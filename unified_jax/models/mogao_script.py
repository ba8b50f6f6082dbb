"""How Mogao writes a document (arXiv:2505.05472): as BAGEL, but for what words see and where pictures stand.

    given picture    its patches where it was given; its latents before the picture that is drawn, behind all words
    any picture      at one sequence index, from which its rows and columns go on, and behind its longer side the rest

So words read a given picture as patches alone, while what is drawn sees patches, latents and words.
"""

import dataclasses
from typing import Any

import numpy as np

from unified_jax.data.document import Document, Text, is_blank
from unified_jax.data.plan import Span
from unified_jax.models import bagel_script
from unified_jax.models.bagel_script import BLIND, without_pictures
from unified_jax.models.family import without_text


class Script(bagel_script.Script):
    """As BAGEL's. A drawn picture that something follows is seen as latents, by what follows too."""

    def write(self, document: Document) -> list[Span]:
        """Spans up to the first blank."""
        spans, waiting, grid = [], [], self.grid
        for part, after in zip(document, (*document[1:], None)):
            if isinstance(part, Text):
                spans += self._text(part)
            elif part.target:
                spans += [*waiting, *self._target(part, grid, final=after is None, edit=grid is not self.grid)]
                waiting = []
            else:
                seen, latents = part.values
                grid = latents.shape[:2]
                if not document.info.get(BLIND):
                    spans.append(self._picture("vision", seen))
                    waiting.append(self._picture("image", latents))
            if is_blank(part):
                break
        return spans

    def _picture(self, stream: str, values: np.ndarray, **fields: Any) -> Span:
        """A noised copy takes no index: the clean one stands where it stood."""
        span = super()._picture(stream, values, **fields)
        return dataclasses.replace(span, extent=0 if span.private else max(values.shape[:2]))


def without_both(document: Document) -> Document:
    """Neither the given words nor the given pictures, but of the same size as with them."""
    return without_pictures(without_text(document))
