"""Train the variants of a study over several seeds, score them, and write one page that holds them against each other.

Run the same command again to go on: runs that are finished stay as they are.
"""

import argparse
import dataclasses
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from unified_jax.cli import environment
from unified_jax.cli.train import complete
from unified_jax.data.document import Image
from unified_jax.evals.benchmark import Benchmark
from unified_jax.evals.interval import mean
from unified_jax.models.pretrained import from_pretrained
from unified_jax.report.comparison import build_comparison
from unified_jax.sampling.fill import Settings
from unified_jax.train.experiment import Experiment
from unified_jax.train.metrics import write_json
from unified_jax.train.sampling_flops import sampling_flops

PROMPTS = 8  # enough for the mean length of a prompt


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own flags."""
    parser.add_argument("--config", required=True, help="configs/compare/NAME.py or configs/compare/NAME.py:VARIANT")
    parser.add_argument("--workdir", type=Path, help="folder of the study; default: runs/compare/NAME")
    parser.epilog = "--config.FIELD=VALUE overrides a value in every variant, --config.study.seeds=(0,1) for one"


def run(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Runs the command; bad input raises ValueError, RuntimeError or OSError."""
    began, (path, _, arg) = time.time(), arguments.config.partition(":")
    config = Experiment.load(arguments.config, overrides).config
    if "study" not in config:
        raise ValueError(f"{path}: no study; a config to compare has study.variants and study.seeds")
    workdir = arguments.workdir or Path("runs/compare") / Path(path).stem
    compared = {}
    for variant, title in config.study.variants:
        spec, runs = f"{path}:{','.join(filter(None, (variant, arg)))}", []
        for seed in config.study.seeds:
            runs.append(Path(variant) / f"seed_{seed}")
            experiment = Experiment.load(spec, [*overrides, f"seed={seed}"])
            if not (workdir / runs[-1] / "metrics.json").exists():
                print(f"{title}, seed {seed}", file=sys.stderr)
                complete(experiment, workdir / runs[-1], began=time.time())
        compared[variant] = {"title": title, **_summary(experiment, workdir, runs)}
    minutes = sum(variant["train_minutes"] * len(config.study.seeds) for variant in compared.values())
    write_json(
        workdir / "compare.json",
        {
            "title": config.study.title,
            "note": config.study.note,
            "seeds": list(config.study.seeds),
            "minutes": {"training": round(minutes, 1), "this command": round((time.time() - began) / 60, 1)},
            "environment": environment.describe(),
            "config": json.loads(config.to_json()),
            "variants": compared,
        },
    )
    print(f"report: {build_comparison(workdir)}", file=sys.stderr)


def _summary(experiment: Experiment, workdir: Path, runs: Sequence[Path]) -> dict[str, Any]:
    """What all runs of one variant came to. experiment: of any of them."""
    metrics = [json.loads((workdir / run / "metrics.json").read_text(encoding="utf-8")) for run in runs]
    model, params = from_pretrained(workdir / runs[0] / "model")
    shapes = jax.eval_shape(lambda tree: tree, params)
    return {
        "runs": [str(run) for run in runs],
        "parameters": sum(x.size for x in jax.tree.leaves({k: v for k, v in shapes.items() if k != "codec"})),
        "train_steps": metrics[0]["train_steps"],
        "train_minutes": sum(one["train_minutes"] for one in metrics) / len(metrics),
        "train_flops_per_step": _train_flops(workdir / runs[0]),
        "scores": {b.name: _score(b, metrics) | _flops(b, model, params) for b in experiment.benchmarks()},
    }


def _score(benchmark: Benchmark, metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean over seeds; each seed's own value beside it."""
    values = [one[benchmark.name]["value"] for one in metrics]
    score = {k: None if math.isnan(v) else v for k, v in dataclasses.asdict(mean(values)).items()}
    return {"title": benchmark.title, "each": values, "cases": metrics[0][benchmark.name]["n"], **score}


def _flops(benchmark: Benchmark, model: Any, params: Any) -> dict[str, float]:
    """What each drawing of a benchmark costs on the average of its prompts; {} for text."""
    documents = [benchmark.documents[i] for i in range(min(PROMPTS, len(benchmark.documents)))]
    if not all(isinstance(document.targets[0], Image) for document in documents):
        return {}
    settings, prompts = Settings(**benchmark.settings), [document.prompt() for document in documents]
    each = [sampling_flops(model, params, prompt, settings) for prompt in prompts]
    return {"flops": sum(each) / len(each)}


def _train_flops(run: Path) -> float | None:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    each = [flops for line in lines if (flops := json.loads(line).get("flops_per_step"))]
    return sum(each) / len(each) if each else None
