"""Logs survive kills, FLOPs are counted as written, batches are split as said."""

import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.train.flops import peak_flops, train_flops
from unified_jax.train.metrics import append_json, rewind_json, write_json
from unified_jax.train.sharding import batch_sharding, make_mesh, put_batch


def test_rewinding_drops_later_steps_and_a_line_cut_short(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for step in (1, 2, 3):
        append_json(path, {"step": step})
    with path.open("a") as file:
        file.write('{"step": 4, "lo')
    rewind_json(path, 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_json_is_replaced_whole(tmp_path):
    write_json(tmp_path / "a" / "x.json", {"b": 1})
    write_json(tmp_path / "a" / "x.json", {"b": 2})
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["x.json"]


def test_flops_by_hand():
    params = {
        "backbone": {
            "layer": {"q_main": {"kernel": jnp.zeros((2, 8, 2, 4))}, "mlp": {"kernel": jnp.zeros((2, 8, 16))}}
        },
        "embed_text": {"table": jnp.zeros((10, 8))},
        "heads_image": {"out": {"kernel": jnp.zeros((8, 3)), "bias": jnp.zeros(3)}},
    }
    matrices = 6 * 100 * (2 * 8 * 8 + 2 * 8 * 16) + 6 * 40 * 80 + 6 * 60 * 24
    attention = 12 * 2 * 2 * 4 * 1000
    assert train_flops(params, slots=100, entries={"text": 40, "image": 60}, pairs=1000) == matrices + attention


def test_a_matrix_beside_adapters_has_no_gradient_of_its_own():
    layer = {"kernel": jnp.zeros((2, 8, 16)), "low_rank_a": jnp.zeros((2, 8, 3)), "low_rank_b": jnp.zeros((2, 3, 16))}
    head = {"kernel": jnp.zeros((8, 5))}
    patches = {"in": {"kernel": jnp.zeros((7, 8))}}
    params = {"backbone": {"layer": {"up": layer}}, "heads_text": {"out": head}, "embed_image": patches}
    stays = {"backbone/layer/up/kernel", "embed_image/in/kernel"}
    expected = 4 * 100 * 2 * 8 * 16 + 6 * 100 * 2 * 3 * (8 + 16) + 6 * 40 * 8 * 5 + 2 * 60 * 7 * 8
    assert train_flops(params, slots=100, entries={"text": 40, "image": 60}, pairs=0, stays=stays) == expected


def test_of_a_mixture_only_the_chosen_experts_count():
    mixture = {"router": {"kernel": jnp.zeros((2, 8, 4))}, "experts": {"up": {"kernel": jnp.zeros((2, 4, 8, 16))}}}
    params = {"backbone": {"layer": {"mlp_main": mixture}}}
    expected = 6 * 100 * (2 * 8 * 4 + 3 * 2 * 8 * 16)
    assert train_flops(params, slots=100, entries={}, pairs=0, top_k=3) == expected


def test_the_measured_peak_is_plausible():
    assert 1e9 < peak_flops(jax.devices()[0]) < 1e14


def test_batches_are_cut_into_micro_batches_of_rows():
    sharding = batch_sharding(make_mesh({"data": 4, "fsdp": 2}))
    x = put_batch({"x": np.arange(32).reshape(16, 2)}, sharding, accumulate=2)["x"]
    assert x.shape == (2, 8, 2)
    np.testing.assert_array_equal(np.asarray(x).reshape(16, 2), np.arange(32).reshape(16, 2))
    assert len(x.addressable_shards) == 8
