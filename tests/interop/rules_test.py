"""Rules: every way in which a checkpoint can fail to fit is named; each tensor is read once and let go."""

import re
import weakref
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from trees import tree

from unified_jax.interop.checkpoint import Tensor
from unified_jax.interop.convert import export, load
from unified_jax.interop.rules import Arithmetic, Copy, Rule

RULES = [
    Rule("embed.weight", "embed"),
    Rule(r"layers.(\d+).q.weight", "layer/q", "(h c two) d -> d h (two c)"),
    Rule(r"layers.(\d+).kv.weight", ("layer/k", "layer/v"), "(h two c) d -> two d h c"),
    Rule(r"layers.(\d+).experts.(\d+).up", "layer/up", "f d -> d f"),
    Rule(r"layers.(\d+).norm", "layer/norm", arithmetic=Arithmetic(lambda w: 1 + w, lambda w: w - 1)),
    Rule("scale", "scale"),
]
SHAPES = {
    "embed": (8, 16),
    "layer/q": (4, 16, 2, 8),
    "layer/k": (4, 16, 2, 4),
    "layer/v": (4, 16, 2, 4),
    "layer/up": (4, 2, 16, 8),
    "layer/norm": (4, 16),
    "scale": (),
}


def tensor(*shape: int, seed: int = 0, dtype=np.float32) -> Tensor:
    values = np.random.default_rng(seed).integers(-50, 50, shape).astype(dtype)  # so that 1 + w - 1 is exact
    return Tensor(shape, np.dtype(dtype), lambda: values)


def checkpoint() -> dict[str, Tensor]:
    found = {"embed.weight": tensor(8, 16), "scale": tensor()}
    for layer in range(4):
        found[f"layers.{layer}.q.weight"] = tensor(16, 16, seed=layer)
        found[f"layers.{layer}.kv.weight"] = tensor(16, 16, seed=10 + layer)
        found[f"layers.{layer}.norm"] = tensor(16, seed=20 + layer)
        for expert in range(2):
            found[f"layers.{layer}.experts.{expert}.up"] = tensor(8, 16, seed=30 + 2 * layer + expert)
    return found


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(
        a[k].shape == b[k].shape and a[k].read().tobytes() == b[k].read().tobytes() for k in a
    )


def test_what_was_loaded_is_exported_again():
    params = load(checkpoint(), tree(SHAPES), rules=RULES)
    assert equal(export(params, rules=RULES), checkpoint())


def test_values_are_where_the_forms_say():
    source = checkpoint()
    params = jax.tree.map(np.asarray, load(source, tree(SHAPES), rules=RULES))
    for layer in range(4):
        q, kv = (source[f"layers.{layer}.{x}.weight"].read() for x in ("q", "kv"))
        for h in range(2):
            for c in range(4):
                for half in range(2):  # a rotary pair (2c, 2c + 1) becomes (c, c + 4)
                    np.testing.assert_array_equal(
                        params["layer"]["q"][layer, :, h, half * 4 + c], q[h * 8 + 2 * c + half]
                    )
                np.testing.assert_array_equal(params["layer"]["k"][layer, :, h, c], kv[h * 8 + c])
                np.testing.assert_array_equal(params["layer"]["v"][layer, :, h, c], kv[h * 8 + 4 + c])
        for expert in range(2):
            up = source[f"layers.{layer}.experts.{expert}.up"].read()
            np.testing.assert_array_equal(params["layer"]["up"][layer, expert], up.T)
        np.testing.assert_array_equal(params["layer"]["norm"][layer], 1 + source[f"layers.{layer}.norm"].read())
    assert params["scale"].shape == ()


def without(*names: str) -> dict[str, Tensor]:
    return {name: x for name, x in checkpoint().items() if name not in names}


FAULTS = {
    "tensors that no rule names (1): head.weight": dict(tensors=checkpoint() | {"head.weight": tensor(3)}),
    # A rule's pattern is the whole name, and its dots are dots.
    "tensors that no rule names (2): embed.weight_scale; embed_weight": dict(
        tensors=checkpoint() | {"embed.weight_scale": tensor(3), "embed_weight": tensor(3)}
    ),
    "tensors that are missing (1): layers.2.norm": dict(tensors=without("layers.2.norm")),
    "tensors that are missing (1): layers.1.experts.0.up": dict(tensors=without("layers.1.experts.0.up")),
    "tensors beyond the model's layers or experts (1): layers.4.norm": dict(
        tensors=checkpoint() | {"layers.4.norm": tensor(16)}
    ),
    "tensors beyond the model's layers or experts (1): layers.0.experts.2.up": dict(
        tensors=checkpoint() | {"layers.0.experts.2.up": tensor(8, 16)}
    ),
    "tensors of another shape (1): layers.3.kv.weight has (16, 8), not (16, 16)": dict(
        tensors=checkpoint() | {"layers.3.kv.weight": tensor(16, 8)}
    ),
    "tensors of another kind (1): embed.weight is int32, embed float32": dict(
        tensors=checkpoint() | {"embed.weight": tensor(8, 16, dtype=np.int32)}
    ),
    "tensors with more than one use (1): scale": dict(rules=RULES + [Copy("scale", of="embed.weight")]),
    "tensors with more than one use (1): embed.weight": dict(skip="embed.*"),
    "parameters that more than one rule fills (1): embed": dict(rules=RULES + [Rule("wte", "embed")]),
    "parameters that no rule fills (1): head": dict(shapes=SHAPES | {"head": (3,)}),
    "tensors whose parameter the model lacks (1): scale (scale)": dict(
        shapes={path: shape for path, shape in SHAPES.items() if path != "scale"}
    ),
    "rules that do not fit (1): layers.(\\d+).kv.weight: the model lacks layer/v": dict(
        shapes={path: shape for path, shape in SHAPES.items() if path != "layer/v"}
    ),
    "layers.(\\d+).kv.weight: form '(h two c) d -> two d h c' gives equal shares": dict(
        shapes=SHAPES | {"layer/v": (4, 16, 3, 4)}
    ),
    "kv.weight: the parameters' shapes [(4, 16, 2, 4), (5, 16, 2, 4)] do not begin with 1 common axes": dict(
        shapes=SHAPES | {"layer/v": (5, 16, 2, 4)}
    ),
    "scale: form 'a -> a b' gives 2 axes, but the parameter has 0: ()": dict(
        rules=RULES[:-1] + [Rule("scale", "scale", "a -> a b")]
    ),
    "copies of a tensor that no rule names (1): head of tail": dict(rules=RULES + [Copy("head", of="tail")]),
}


@pytest.mark.parametrize("line", FAULTS)
def test_a_fault_is_named(line):
    given = dict(tensors=checkpoint(), shapes=SHAPES, rules=RULES, skip="") | FAULTS[line]
    with pytest.raises(ValueError, match=re.escape(line)):
        load(given["tensors"], tree(given["shapes"]), rules=given["rules"], skip=given["skip"])


def test_all_faults_are_told_at_once_with_counts_and_the_first_three():
    tensors = without("scale") | {f"x{i}": tensor(1) for i in range(5)}
    with pytest.raises(ValueError) as error:
        load(tensors, tree(SHAPES | {"head": (3,)}), rules=RULES, source="a/b")
    assert str(error.value).splitlines() == [
        "a/b does not fit this model:",
        "  parameters that no rule fills (1): head",
        "  tensors that no rule names (5): x0; x1; x2; ...",
        "  tensors that are missing (1): scale",
    ]


def test_nothing_is_read_before_everything_fits():
    def refuse():
        raise AssertionError("read")

    tensors = {name: Tensor(x.shape, x.dtype, refuse) for name, x in without("scale").items()}
    with pytest.raises(ValueError, match="scale"):
        load(tensors, tree(SHAPES), rules=RULES)


def test_skipped_names_are_ignored_and_idle_rules_do_nothing():
    tensors = checkpoint() | {"rotary.inv_freq": tensor(4), "head.weight": tensor(8, 16)}
    rules = RULES + [Rule("embed.bias", "bias")]
    params = load(tensors, tree(SHAPES), rules=rules, skip=r".*inv_freq|head\.weight")
    assert equal(export(params, rules=rules), checkpoint())


def test_a_copy_may_be_absent_must_be_equal_and_is_written():
    rules = RULES + [Copy("head.weight", of="embed.weight")]
    both = checkpoint() | {"head.weight": tensor(8, 16)}
    for tensors in (checkpoint(), both):
        assert equal(export(load(tensors, tree(SHAPES), rules=rules), rules=rules), both)
    with pytest.raises(ValueError, match="head.weight differs from embed.weight"):
        load(both | {"head.weight": tensor(8, 16, seed=1)}, tree(SHAPES), rules=rules)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_refused_by_name_unless_named(bad):
    values = np.ones((8, 16), np.float32)
    values[3, 2] = bad
    tensors = checkpoint() | {"embed.weight": Tensor((8, 16), np.dtype(np.float32), lambda: values)}
    with pytest.raises(ValueError, match="embed.weight holds NaN or infinity"):
        load(tensors, tree(SHAPES), rules=RULES)
    with pytest.raises(ValueError, match="embed.weight holds NaN or infinity"):
        load(tensors, tree(SHAPES), rules=RULES, nonfinite="scale")
    params = load(tensors, tree(SHAPES), rules=RULES, nonfinite="embed.*")
    np.testing.assert_array_equal(params["embed"], values)


@pytest.mark.parametrize("pattern", [r"layers.\d+.q", "layers.*", r"layers.(\d+|x).q", "(a)", "a?"])
def test_a_pattern_that_could_not_be_written_back_is_refused(pattern):
    with pytest.raises(ValueError, match="names one tensor"):
        Rule(pattern, "x")


class Counting:
    """Tensors that count how many of their values are alive, and how often each is read."""

    def __init__(self, tensors: dict[str, Tensor]):
        self.alive, self.most, self.reads = 0, 0, dict.fromkeys(tensors, 0)
        self.tensors = {
            name: Tensor(x.shape, x.dtype, lambda n=name, x=x: self._read(n, x)) for name, x in tensors.items()
        }

    def _read(self, name: str, source: Tensor) -> np.ndarray:
        values = source.read().copy()
        self.alive, self.reads[name] = self.alive + 1, self.reads[name] + 1
        self.most = max(self.most, self.alive)
        weakref.finalize(values, self._let_go)
        return values

    def _let_go(self) -> None:
        self.alive -= 1


def sharded(specs: dict[str, PartitionSpec]) -> dict:
    mesh = Mesh(np.array(jax.devices()).reshape(2, 4), ("a", "b"))
    flat = {
        path: jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh, specs.get(path, PartitionSpec())))
        for path, shape in SHAPES.items()
    }
    like = {path: x for path, x in flat.items() if "/" not in path}
    return like | {"layer": {path[6:]: x for path, x in flat.items() if path.startswith("layer/")}}


SPECS = {
    "embed": PartitionSpec("b", "a"),
    "layer/q": PartitionSpec("b", None, "a"),  # over layers
    "layer/k": PartitionSpec(None, ("a", "b")),
    "layer/up": PartitionSpec("a", None, None, "b"),
    "layer/norm": PartitionSpec("a"),
}


@pytest.mark.parametrize("like", [tree(SHAPES), sharded(SPECS)], ids=["whole", "sharded"])
def test_one_tensor_is_held_at_a_time_and_read_once_for_each_parameter(like):
    counting = Counting(checkpoint())
    load(counting.tensors, like, rules=RULES)
    assert (counting.most, counting.alive) == (1, 0)
    assert counting.reads == {name: 2 if ".kv." in name else 1 for name in counting.reads}


def test_eight_devices_hold_the_same_values_as_one():
    whole, spread = (load(checkpoint(), like, rules=RULES) for like in (tree(SHAPES), sharded(SPECS)))
    jax.tree.map(np.testing.assert_array_equal, whole, spread)
    for x, like in zip(jax.tree.leaves(spread), jax.tree.leaves(sharded(SPECS))):
        assert x.sharding == like.sharding
        assert {s.data.shape for s in x.addressable_shards} == {like.sharding.shard_shape(like.shape)}
    assert equal(export(spread, rules=RULES), checkpoint())


def test_layers_of_other_processes_are_not_read(monkeypatch):
    local = (slice(2, 4), slice(None))

    class Here:
        """The sharding of a process that holds layers 2 and 3 only."""

        def addressable_devices_indices_map(self, shape):
            return {None: local}

    # jax would refuse the stand-in; what matters is what it would be given.
    monkeypatch.setattr(jax, "make_array_from_callback", lambda _, sharding, read: jnp.asarray(read(local)))
    norms = {name: x for name, x in checkpoint().items() if name.endswith("norm")}
    counting = Counting(norms)
    like = {"layer": {"norm": SimpleNamespace(shape=(4, 16), dtype=np.float32, sharding=Here())}}
    norm = load(counting.tensors, like, rules=RULES)["layer"]["norm"]
    np.testing.assert_array_equal(norm, [1 + norms[f"layers.{i}.norm"].read() for i in (2, 3)])
    assert list(counting.reads.values()) == [0, 0, 1, 1]
