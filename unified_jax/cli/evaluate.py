"""Score a run or a checkpoint on the benchmarks of a config, and write samples and scores as JSON."""

import argparse
import sys
from pathlib import Path

from rich.progress import track

from unified_jax.cli import load
from unified_jax.evals import benchmark, samples
from unified_jax.train.experiment import Experiment
from unified_jax.train.metrics import write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own flags."""
    load.add_arguments(parser)
    parser.add_argument("--config", help="whose benchmarks; default: the run's own")
    parser.add_argument("--benchmark", default="all", help="name of one benchmark, or all")
    parser.add_argument("--limit", type=int, help="documents of each benchmark")
    parser.add_argument("--out", type=Path, default=Path("evaluation"), help="folder for samples and metrics.json")


def run(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Runs the command; bad input raises ValueError, RuntimeError or OSError."""
    if not arguments.config and not arguments.workdir:
        raise ValueError("--checkpoint needs --config, whose benchmarks to run")
    if overrides and not arguments.config:
        raise ValueError("overrides need --config")
    experiment = (
        Experiment.load(arguments.config, overrides) if arguments.config else Experiment.of_run(arguments.workdir)
    )
    if arguments.workdir and arguments.out.resolve() == arguments.workdir.resolve():
        raise ValueError(f"--out {arguments.out} is the run itself, whose own scores and samples would be lost")
    model, params = load.load(arguments)
    known = experiment.benchmarks()
    chosen = [b for b in known if arguments.benchmark in ("all", b.name)]
    if not chosen:
        raise ValueError(f"unknown benchmark {arguments.benchmark!r}; there are {', '.join(b.name for b in known)}")
    results = [
        benchmark.run(b, model, params, limit=arguments.limit) for b in track(chosen, "evaluating", transient=True)
    ]
    arguments.out.mkdir(parents=True, exist_ok=True)
    scores = samples.write_scores(arguments.out, results, step=0, seconds=0.0)
    samples.write_samples(arguments.out, results, step=0, limit=48)
    write_json(arguments.out / "metrics.json", scores)
    for name, score in scores.items():
        print(f"{name:24s} {score['value']:.3f}  [{score['low']:.3f}, {score['high']:.3f}]  n={score['n']}")
    print(f"written to {arguments.out}", file=sys.stderr)
