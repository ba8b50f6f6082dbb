"""A run folder belongs to one config: what may change when a command goes on with it, and what may not."""

import json
from pathlib import Path
from typing import Any

from unified_jax.train.experiment import Experiment
from unified_jax.train.metrics import write_json

# These change what is reported, kept or computed on, not what is learned.
FREE = ("spec", "steps", "log_every", "save_every", "evaluate_every", "keep", "mesh", "test_size", "drawing")


def claim(workdir: Path, experiment: Experiment) -> None:
    """Writes the config into the folder. Raises ValueError where another one has been training there."""
    path = workdir / "config.json"
    config = {"spec": experiment.spec, **json.loads(experiment.config.to_json())}
    if path.exists() and (workdir / "checkpoints").is_dir():
        _compare(workdir, _flat(json.loads(path.read_text(encoding="utf-8"))), _flat(config))
    write_json(path, config)


def _compare(workdir: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    # A budget of minutes becomes a number of steps when a run begins; the schedule holds from then on.
    free = [name for name in FREE if name != "steps" or not new.get("minutes")]
    for name in sorted(old | new):
        if name.partition(".")[0] not in free and old.get(name) != new.get(name):
            raise ValueError(
                f"{workdir} holds a run with {name}={old.get(name)!r}, not {new.get(name)!r}: "
                "take another --workdir, or delete this one to start over"
            )


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
