"""Measure training, attention, experts or generation beside their peers in PyTorch, in one run.

Both sides do the same work in turns, each in a process of its own. The figures go into a table and a JSON file, whose
rows of the same names are replaced.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from unified_jax.bench.case import run as run_case
from unified_jax.bench.cases import BENCHES, cases
from unified_jax.bench.peers import PEERS
from unified_jax.cli import environment
from unified_jax.core.rows import merge_rows

SIZES = ("small", "large", "all")
MACHINE = ("python", "jax", "flax", "unified_jax", "git_commit", "device", "cpu_count")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own flags."""
    parser.add_argument("what", choices=(*BENCHES, "all"))
    parser.add_argument("--size", choices=SIZES, default="all")
    parser.add_argument("--repeats", type=int, default=5, help="timings of each side, taken in turns")
    parser.add_argument("--out", type=Path, default=Path("experiments/bench/results.json"), help="JSON file of rows")


def run(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Runs the command; bad input raises ValueError, RuntimeError or OSError."""
    if overrides:
        raise ValueError("bench takes no --config overrides")
    if arguments.repeats < 1:
        raise ValueError(f"--repeats must be 1 or more, found {arguments.repeats}")
    if not PEERS.is_dir():
        raise FileNotFoundError(f"{PEERS}: no such folder; peers are part of the repository: run from a checkout of it")
    console, rows = Console(), []
    for what in BENCHES if arguments.what == "all" else (arguments.what,):
        for case in cases(what):
            if arguments.size in (case.size, "all"):
                rows += run_case(case, repeats=arguments.repeats, tell=console.print)
    where = environment.describe()
    stamp = {"date": time.strftime("%Y-%m-%d", time.gmtime()), "machine": {name: where[name] for name in MACHINE}}
    merge_rows(arguments.out, [row | stamp for row in rows])
    console.print(table(rows))


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Medians with their ranges; a ratio above 1 means that we are faster."""
    found = Table("what", "peer", "unit", "ours", "peer's", "times as fast")
    for row in rows:
        what = row["name"].removesuffix(f" against {row['peer_name']}")
        ours, peer = (f"{row[x]:g} [{row[f'{x}_range'][0]:g}, {row[f'{x}_range'][1]:g}]" for x in ("ours", "peer"))
        # Square brackets are markup to rich unless escaped.
        ours, peer = ours.replace("[", r"\["), peer.replace("[", r"\[")
        found.add_row(what, row["peer_name"], row["unit"], ours, peer, f"{row['ratio']:.2f}")
    return found
