"""The packaged emoji as a TensorFlow Datasets builder, written as ArrayRecord without TensorFlow.

    builder = UnifiedEmoji(data_dir="/data", config="combinations", file_format="array_record")
    builder.download_and_prepare()
    Tfds("unified_emoji/combinations", data_dir="/data", split="train", to_document=...)

One example per picture of one style, on white. It exists as the smallest whole path from raw data to TFDS to
documents: a template for a private dataset.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import PIL.Image
import tensorflow_datasets as tfds

from unified_jax.data.sources import emoji_assets as assets
from unified_jax.data.sources import emoji_splits as splits


@dataclasses.dataclass(kw_only=True, eq=False)
class EmojiConfig(tfds.core.BuilderConfig):
    """holdout: which pictures are held out, see ``emoji_splits``. styles, resolution: as in ``Emoji``."""

    holdout: str = "random"
    styles: tuple[str, ...] = ("noto",)
    resolution: int = assets.SIZE


class UnifiedEmoji(tfds.core.GeneratorBasedBuilder):
    """Splits ``train`` and ``held_out`` of one holdout; features image, caption, keywords, group, id and style."""

    VERSION = tfds.core.Version("1.0.0")
    # Left to infer it, TFDS 4.9.10 imports importlib_resources, which it requires only of Python before 3.9.
    code_path = pathlib.Path(__file__)
    BUILDER_CONFIGS = [
        EmojiConfig(name="random"),
        EmojiConfig(name="combinations", holdout="combinations"),
        EmojiConfig(name="new", holdout="new"),
        EmojiConfig(name="style", holdout="style", styles=assets.STYLES),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        size = self.builder_config.resolution
        features = {
            "image": tfds.features.Image(shape=(size, size, 3), encoding_format="png"),
            "keywords": tfds.features.Sequence(tfds.features.Text()),
        }
        features |= {name: tfds.features.Text() for name in ("caption", "group", "id", "style")}
        return tfds.core.DatasetInfo(
            builder=self,
            description="Emoji pictures with names and keywords.",
            features=tfds.features.FeaturesDict(features),
            license=assets.notice(),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> Mapping[str, Iterator]:
        return {split: self._generate_examples(split) for split in splits.SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        config = self.builder_config
        for style, id in splits.pictures(split, holdout=config.holdout, styles=config.styles):
            record = assets.records()[id]
            sprite = assets.sprite(style, id, resolution=config.resolution)
            yield (
                f"{style}/{id}",
                {
                    # TFDS encodes an array with TensorFlow, but a Pillow image with Pillow.
                    "image": PIL.Image.fromarray(assets.composite(sprite, (255, 255, 255))),
                    "caption": record.caption,
                    "keywords": list(record.tags),
                    "group": record.category,
                    "id": id,
                    "style": style,
                },
            )
