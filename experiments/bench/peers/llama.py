"""Llama in transformers: training steps, eager and compiled, and greedy generation."""

import os
from pathlib import Path

import numpy as np
import torch
import transformers

from unified_jax.bench.contender import Contender

torch.set_num_threads(os.cpu_count())


def train_eager(*, folder: Path, **_) -> Contender:
    """The model as it is."""
    model, facts = _load(folder)
    return Contender(_training(model, model, folder), facts)


def train_compiled(*, folder: Path, **_) -> Contender:
    """The same through torch.compile."""
    model, facts = _load(folder)
    return Contender(_training(model, torch.compile(model), folder), facts)


def generate(*, folder: Path, new: int, **_) -> Contender:
    """Greedy ids after those in the folder."""
    model, facts = _load(folder)
    ids = torch.tensor(np.load(folder / "ids.npy"), dtype=torch.long)
    settings = dict(max_new_tokens=new, do_sample=False, use_cache=True, pad_token_id=0)
    attention = torch.ones_like(ids)

    def run() -> np.ndarray:
        with torch.inference_mode():
            return model.generate(ids, attention_mask=attention, **settings).numpy()[:, -new:]

    return Contender(run, facts)


def _load(folder: Path):
    model = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    return model, {"parameters": sum(p.numel() for p in model.parameters()), **versions}


def _training(model, forward, folder: Path):
    ids = torch.tensor(np.load(folder / "ids.npy"), dtype=torch.long)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0)
    model.train()

    def run() -> np.ndarray:
        optimizer.zero_grad()
        loss = forward(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return np.asarray(loss.item(), np.float32)

    return run
