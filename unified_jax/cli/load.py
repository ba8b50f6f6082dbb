"""--workdir or --checkpoint -> (model, params): what sample and evaluate both begin with."""

import argparse
from pathlib import Path
from typing import Any

from unified_jax.models.pretrained import from_pretrained
from unified_jax.train import loop
from unified_jax.train.experiment import Experiment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that say where the model is."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--workdir", type=Path, help="folder of a run")
    source.add_argument(
        "--checkpoint",
        type=Path,
        help="checkpoint folder, of this library or as published by transformers; or a .gguf file",
    )


def load(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """The finished model of a run, its newest checkpoint where it has not finished, or a checkpoint folder."""
    if arguments.checkpoint:
        return from_pretrained(arguments.checkpoint)
    if (arguments.workdir / "model").is_dir():
        return from_pretrained(arguments.workdir / "model")
    trained = loop.restore(Experiment.of_run(arguments.workdir), arguments.workdir)
    return trained.model, trained.ema
