"""Answering: what the model goes on with inside an open ``Answer``.

text --ends with an id that opens a picture--> picture --> text --> ...
  \\--ends in any other way--> the end
"""

import dataclasses

from unified_jax.data.document import Image, Part, Text


@dataclasses.dataclass(frozen=True)
class Answering:
    """tokens, images: how many more the answer may have. blank: the part that comes next."""

    tokens: int
    images: int
    blank: Part = Text(target=True)

    def after(self, made: Part, *, opened: bool) -> "Answering | None":
        """Where the answer stands once its next part is made; None at the end.

        opened: whether the part is a text that ended because a picture begins.
        """
        if isinstance(made, Image):
            return Answering(self.tokens, self.images - 1) if self.tokens else None
        left = self.tokens - len(made.values)
        return Answering(left, self.images, Image(target=True)) if opened and self.images else None
