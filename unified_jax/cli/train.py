"""Train an experiment; evaluate it and write its report at the end.

Run the same command again to go on from the last checkpoint.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unified_jax.cli import environment, run_config
from unified_jax.evals import benchmark, samples
from unified_jax.models.pretrained import save_pretrained
from unified_jax.report import build
from unified_jax.train import loop
from unified_jax.train.experiment import Experiment
from unified_jax.train.metrics import write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own flags."""
    parser.add_argument("--config", required=True, help="configs/NAME.py or configs/NAME.py:VARIANT")
    parser.add_argument("--workdir", required=True, type=Path, help="folder of the run, made if need be")
    parser.epilog = "--config.FIELD=VALUE overrides a value of the config, --config.model.width=256 for one"


def run(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Runs the command; bad input raises ValueError, RuntimeError or OSError."""
    began = float(os.environ.get("DEMO_STARTED") or time.time())
    experiment, workdir = Experiment.load(arguments.config, overrides), arguments.workdir
    chapters = experiment.chapters()
    if missing := [chapter.workdir for chapter in chapters if not Path(chapter.workdir).is_dir()]:
        raise FileNotFoundError(
            f"{missing[0]}: no such folder; the page of {arguments.config} is to show the run in it"
        )
    complete(experiment, workdir, began=began)
    page = build(workdir, others=chapters)
    print(f"report: {page}", file=sys.stderr)


def complete(experiment: Experiment, workdir: Path, *, began: float) -> None:
    """Trains, saves and scores an experiment, going on from what is in ``workdir``; its metrics.json comes last.

    began: when the command did, in seconds since the epoch.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    run_config.claim(workdir, experiment)
    write_json(workdir / "environment.json", environment.describe())
    benchmarks = experiment.benchmarks()
    trained = loop.train(experiment, workdir, evaluate=_while_training(benchmarks, workdir))
    save_pretrained(workdir / "model", trained.model, trained.ema)
    if lora := experiment.lora():
        lora.save(workdir / "adapters", trained.learned)
    results = [benchmark.run(b, trained.model, trained.ema) for b in benchmarks]
    scores = samples.write_scores(workdir, results, step=trained.steps, seconds=trained.seconds)
    samples.write_samples(workdir, results, step=trained.steps, limit=48)
    figures = {
        "train_minutes": round(trained.seconds / 60, 2),
        # Of a run that was interrupted: this process from the start of the command, and the training before it.
        "total_minutes": round((time.time() - began + trained.earlier) / 60, 2),
        "train_steps": trained.steps,
        "parameters": environment.parameters(trained.params),
    }
    write_json(workdir / "metrics.json", scores | figures)


def _while_training(benchmarks: Sequence[benchmark.Benchmark], workdir: Path) -> loop.Evaluate:
    """Scores on a few documents, and pictures for the report, every now and then."""

    def evaluate(step: int, seconds: float, model: Any, params: Any) -> None:
        results = [benchmark.run(b, model, params, limit=b.quick) for b in benchmarks]
        samples.write_scores(workdir, results, step=step, seconds=seconds)
        samples.write_samples(workdir, results, step=step, limit=6)

    return evaluate
