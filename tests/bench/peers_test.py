"""Both sides of every benchmark do the same work: at tiny sizes, their results are compared or their sizes counted."""

import pytest
import torch

from unified_jax.bench import components, denoising, generation, pieces, published, training
from unified_jax.bench.case import difference
from unified_jax.bench.cases import BENCHES, cases, llama
from unified_jax.bench.contender import from_file
from unified_jax.bench.peers import PEERS

TINY = llama(width=64, depth=2, hidden=48, vocab=64)
BODY = dict(width=32, depth=2, num_heads=2, hidden=64)
ATTENTION = dict(length=50, heads=2, channels=8, text=6, picture=9)


@pytest.fixture(autouse=True)
def threads():
    """Peers take all cores for themselves; the next test gets back what there was."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def run_both(folder, ours, file, function, **arguments):
    """Results of the third run of each side, and what each says of itself."""
    sides = [ours(folder=folder, **arguments)]
    sides.append(from_file(source=PEERS / file, function=function, folder=folder, **arguments))
    return [[side.run() for _ in range(3)][-1] for side in sides], [side.facts for side in sides]


def test_three_training_steps_leave_the_same_loss(tmp_path):
    (ours, theirs), facts = run_both(tmp_path, training.text, "llama.py", "train_eager", config=TINY, rows=3, length=10)
    assert difference(ours, theirs) < 1e-5
    assert facts[0]["parameters"] == facts[1]["parameters"]


def test_the_same_ids_are_written(tmp_path):
    sizes = dict(config=TINY, rows=2, prompt=5, new=12)
    (ours, theirs), _ = run_both(tmp_path, generation.text, "llama.py", "generate", **sizes)
    assert ours.shape == (2, 12) and (ours == theirs).all()


@pytest.mark.parametrize("ours", [pieces.reference_attention, pieces.chunked_attention])
def test_attention_and_its_gradients_agree(tmp_path, ours):
    (ours, theirs), _ = run_both(tmp_path, ours, "attention.py", "attention", **ATTENTION)
    assert difference(ours, theirs) < 1e-5


def test_experts_and_their_gradients_agree(tmp_path):
    sizes = dict(width=8, hidden=16, num_experts=4, top_k=2, rows=2, length=7)
    (ours, theirs), facts = run_both(tmp_path, pieces.experts, "mixtral.py", "experts", **sizes)
    assert difference(ours, theirs) < 1e-5
    assert facts[0]["parameters"] == facts[1]["parameters"]


def test_interleaved_training_and_drawing_run_on_both_sides(tmp_path):
    sizes = dict(body=BODY, text_ids=3, grid=2)
    _, facts = run_both(tmp_path, training.interleaved, "transfusion.py", "train", documents=2, **sizes)
    assert facts[1]["parameters"] > facts[0]["parameters"]  # theirs has adaptive norms and skips between layers
    run_both(tmp_path, generation.interleaved, "transfusion.py", "sample", steps=2, **sizes)


CODECS = {  # of either project; the others are compared in parity/
    "encode": published.stable_diffusion(32) | dict(layers_per_block=1),
    "decode": published.janus(32) | dict(channel_multiplier=[1, 2], num_res_blocks=1, num_embeddings=64),
}


@pytest.mark.parametrize("way", CODECS)
def test_codecs_make_the_same_of_a_picture_and_of_its_values(tmp_path, way):
    sizes = dict(config=CODECS[way], side=32)
    (ours, theirs), facts = run_both(tmp_path, getattr(components, way), "components.py", way, **sizes)
    assert difference(ours, theirs) < 1e-4
    assert facts[0]["parameters"] == facts[1]["parameters"]


VIT = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, image_size=32)
ENCODERS = {
    "clip": (components.look, "look", published.CLIP | VIT, dict(side=32)),
    "siglip": (components.look, "look", published.SIGLIP | VIT, dict(side=32)),
    "t5": (components.read, "read", published.T5 | dict(d_model=32, d_ff=48, num_layers=2), dict(length=9)),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_make_the_same_states(tmp_path, name):
    ours, function, config, size = ENCODERS[name]
    (ours, theirs), facts = run_both(tmp_path, ours, "components.py", function, config=config, **size)
    assert difference(ours, theirs) < 1e-4
    assert facts[0]["parameters"] == facts[1]["parameters"]


DENOISERS = {
    "train": published.DIT,
    "predict": published.MM_DIT | dict(caption_projection_dim=16, pos_embed_max_size=8),
}


@pytest.mark.parametrize("work", DENOISERS)
def test_denoisers_predict_and_begin_to_train_alike(tmp_path, work):
    config = DENOISERS[work] | dict(num_attention_heads=2, attention_head_dim=8, num_layers=2, sample_size=8)
    sizes = dict(folder=tmp_path, config=config, rows=2, side=8, text=5)
    ours = getattr(denoising, work)(**sizes).run()
    theirs = from_file(source=PEERS / "denoiser.py", function=work, **sizes).run()
    assert difference(ours, theirs) < 1e-4


def test_every_peer_has_its_file():
    files = {peer.build.keywords["source"] for bench in BENCHES for case in cases(bench) for peer in case.peers}
    assert files == set(PEERS.glob("*.py"))
