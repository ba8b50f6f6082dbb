"""The tokenizer study: every kind of configs/tokenizer/study.py with every seed, then one page of all of them."""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from configs.tokenizer.study import BITS, KINDS, PLACES
from unified_jax.cli.main import main as ujx
from unified_jax.core.files import read_json
from unified_jax.evals.interval import mean
from unified_jax.report.study import build_study
from unified_jax.train.metrics import write_json

CONFIG = "configs/tokenizer/study.py"
NOTE = (
    f"Equal ladders between pixels and {PLACES} places of {BITS} bits each. Codes have these bits by their number; "
    "the Gaussian of KL is held to that rate, which is counted here as it is at the last logged step, and its pictures "
    "are decoded from draws. All scores are of the averaged parameters."
)


def main() -> int:
    """Returns the exit code of the first run that fails, or 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", required=True, type=Path, help="folder of all runs, made if need be")
    parser.add_argument("--seeds", type=int, default=3)
    arguments, overrides = parser.parse_known_args()
    runs = {kind: [arguments.workdir / f"{kind}-{seed}" for seed in range(arguments.seeds)] for kind in KINDS}
    for seed in range(arguments.seeds):  # a study that is cut short has all kinds
        for kind in KINDS:
            run = runs[kind][seed]
            if not (run / "metrics.json").exists():
                command = ["train", "--config", f"{CONFIG}:{kind}", "--workdir", str(run), f"--config.seed={seed}"]
                if code := ujx([*command, *overrides]):
                    return code
    kinds = {kind: summary(folders) for kind, folders in runs.items()}
    write_json(arguments.workdir / "study.json", {"note": NOTE, "kinds": kinds})
    print(f"page: {build_study(arguments.workdir)}", file=sys.stderr)
    return 0


def summary(folders: list[Path]) -> dict[str, Any]:
    """Every figure of the runs as a mean over them, with its interval."""
    figures = [_figures(folder) for folder in folders]
    scores = {name: vars(mean([each[name] for each in figures])) for name in figures[0]}
    return {"runs": [folder.name for folder in folders], "scores": scores}


def _figures(folder: Path) -> dict[str, float]:
    last = json.loads((folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    final = read_json(folder / "metrics.json")
    scores = {name: entry["value"] for name, entry in final.items() if isinstance(entry, dict)}
    codes = {name: value for name, value in last.items() if name.startswith("codes/")}
    bits = last["rate"] / math.log(2) if "rate" in last else BITS
    return (
        scores
        | codes
        | {"bits_per_picture": PLACES * bits}
        | {name: float(final[name]) for name in ("parameters", "train_minutes")}
    )


if __name__ == "__main__":
    sys.exit(main())
