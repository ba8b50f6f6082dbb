"""Peers: whom a benchmark is run against, and where their side of it is written."""

from functools import partial
from pathlib import Path

from unified_jax.bench.case import Peer
from unified_jax.bench.contender import from_file

# Peers need PyTorch, which the library never imports; their files are part of the repository and not of the package.
PEERS = Path(__file__).parents[2] / "experiments" / "bench" / "peers"
TRANSFORMERS = {"torch": "torch", "transformers": "transformers"}
DIFFUSERS = TRANSFORMERS | {"diffusers": "diffusers"}
TRANSFUSION = {"torch": "torch", "transfusion-pytorch": "transfusion_pytorch"}


def peer(name: str, file: str, function: str, needs: dict[str, str]) -> Peer:
    """A peer in ``experiments/bench/peers``."""
    return Peer(name, partial(from_file, source=PEERS / file, function=function), needs)
