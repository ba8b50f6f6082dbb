"""Configs of published systems: the published sizes, and small ones that learn and do all that the system does."""

import functools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.codecs.network import NetworkCodec
from unified_jax.core.paths import path_name
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.data.sources.shapes import World
from unified_jax.models.pretrained import from_pretrained, parameters, save_pretrained
from unified_jax.models.show_o_released import ADDED
from unified_jax.objectives.total import losses, total
from unified_jax.sampling.engine import Engine
from unified_jax.sampling.fill import Settings
from unified_jax.sampling.requests import Request
from unified_jax.train.experiment import Experiment

# Parameters of a variant, and where the number is from. CLASS: the sum over the tensors of the reference class of
# transformers at its published config, which tests/parity/family_sizes_test.py compares by name.
CLASS = "reference class on the meta device"
PARTS = "reference classes of its parts, in tests/parity/flow_sizes_test.py"


def var(depth: int) -> int:
    """Layers, tables (classes, the start, places, scales, codes) and head; and the VAE."""
    width = 64 * depth
    layer = 18 * width**2 + 15 * width + depth
    tables = (1001 + 1 + 680 + 10 + 33) * width
    return depth * layer + tables + 2 * width**2 + 2 * width + 4096 * (width + 1) + 108_948_355


SIZES = [
    ("configs/llava.py:v1_5_7b", 7_063_427_072, "safetensors header, llava-hf/llava-1.5-7b-hf"),
    ("configs/llava.py:v1_5_13b", 13_351_494_656, CLASS),
    ("configs/janus.py:pro_1b", 2_076_636_811, CLASS),
    ("configs/janus.py:pro_7b", 7_407_773_323, CLASS),
    ("configs/emu3.py:gen", 8_762_751_879, CLASS),
    ("configs/chameleon/released.py:v1_7b", 7_043_090_432, CLASS),
    ("configs/chameleon/released.py:v1_34b", 34_323_732_480, CLASS),
    ("configs/blip2.py:opt_2_7b", 3_744_679_936, CLASS),
    ("configs/blip2.py:opt_6_7b", 7_752_738_304, CLASS),
    ("configs/blip2.py:minigpt4_7b", 7_832_679_936, CLASS),
    ("configs/fuyu.py:v1_8b", 9_408_238_592, CLASS),
    ("configs/llava_onevision.py:ov_0_5b", 893_675_552, CLASS),
    ("configs/llava_onevision.py:ov_7b", 8_030_807_584, CLASS),
    ("configs/qwen2_5_vl.py:v2_5_3b", 3_754_622_976, "safetensors header, Qwen/Qwen2.5-VL-3B-Instruct"),
    ("configs/qwen2_5_vl.py:v2_5_7b", 8_292_166_656, "safetensors header, Qwen/Qwen2.5-VL-7B-Instruct"),
    ("configs/janusflow.py:v1_1b", 2_046_367_504 + 83_653_863, PARTS),
    ("configs/show_o2.py:v2_1_5b", 2_830_777_056 + 126_892_531, PARTS),
    ("configs/show_o2.py:v2_7b", 8_932_118_752 + 126_892_531, PARTS),
    ("configs/mmada.py:v1_8b", 8_080_000_000 + 95_387_004, "model card, and our MAGVIT-v2"),
    ("configs/var.py:d16", var(16), "models/var.py of its repository, and our VAE"),
    ("configs/var.py:d30", var(30), "models/var.py of its repository, and our VAE"),
    ("configs/llamagen.py:xl", 775_000_000 + 71_883_403, "arXiv:2406.06525, table 1, and JanusVQVAE, the same codec"),
    ("configs/show_o.py:v1_512", 1_448_176_770 + 95_387_004, "PhiForCausalLM of 58498 words, and our MAGVIT-v2"),
    (
        "configs/bagel.py:v1_7b",
        7_615_616_512  # Qwen2.5-7B, and its layers and last norm once more, and norms of heads
        + 6_525_618_176
        + 3_584
        + 28 * 2 * 2 * 128
        + 402_552_736  # SiglipVisionModel of 26 layers
        + 83_819_683  # AutoencoderKL of FLUX
        + 63_454_784,  # what lies between, from modeling/bagel/bagel.py
        "reference classes of its parts",
    ),
    (
        "configs/unipic.py:v1_1_5b",
        1_543_714_304  # Qwen2ForCausalLM of Qwen2.5-1.5B
        + 943_000_000  # MAR-H: table of models in the README of github.com/LTH14/mar
        + 3 * (32**2 - 16**2) * 1280  # whose tables of places are of 256 pixels, and these of 512
        + 66_456_019  # AutoencoderKL of diffusers of its sizes
        + 1536 * (1280 + 1 + 1536 + 1)  # proj_in
        + (1536 * 1536 + 1536 + 1536 * 1280 + 1280),  # proj_out
        "reference classes of its parts, and the repositories",
    ),
]
# Of every system, the variant that is traced as a pod would compute it; sizes do not depend on that.
FIRST = {spec.partition(":")[0]: spec for spec, *_ in reversed(SIZES)}.values()
QUICK = ["computation.remat=none", "computation.attention=reference"]
SYSTEMS = {
    "configs/llava.py": {"caption", "question"},
    "configs/blip2.py": {"caption", "question"},
    "configs/fuyu.py": {"caption", "question"},
    "configs/llava_onevision.py": {"caption", "question"},
    "configs/qwen2_5_vl.py": {"caption", "question"},
    "configs/chameleon/released.py": {"caption", "question"},
    "configs/janus.py": {"caption", "question", "draw"},
    "configs/emu3.py": {"caption", "question", "draw"},
    "configs/show_o.py": {"caption", "question", "draw"},
    "configs/janusflow.py": {"caption", "question", "draw"},
    "configs/show_o2.py": {"caption", "question", "draw"},
    "configs/mmada.py": {"caption", "question", "draw"},
    "configs/llamagen.py": {"draw"},
    "configs/var.py": {"draw"},
    "configs/bagel.py": {"caption", "question", "draw", "edit"},
    "configs/transfusion.py": {"caption", "question", "draw", "edit"},
    "configs/llamafusion.py": {"caption", "question", "draw", "edit"},
    "configs/mogao.py": {"caption", "question", "draw", "edit"},
    "configs/unipic.py": {"caption", "question", "draw"},
}


@pytest.mark.parametrize(("spec", "count", "source"), SIZES)
def test_the_published_variants_have_the_published_sizes(spec, count, source, tokenizer):
    experiment = Experiment.load(spec, [] if spec in FIRST else QUICK)
    model = experiment.model(tokenizer)
    shapes = jax.eval_shape(lambda: parameters(model, jax.random.key(0)))
    assert abs(sum(math.prod(x.shape) for x in jax.tree.leaves(shapes)) / count - 1) < 1e-3
    assert_documents_fit(experiment, model)


@pytest.mark.parametrize("config", SYSTEMS)
def test_documents_of_the_tiny_variant_fit_its_rows(config, tokenizer):
    experiment = Experiment.load(f"{config}:tiny")
    assert_documents_fit(experiment, experiment.model(tokenizer))


def assert_documents_fit(experiment, model):
    """Of every task, whatever is on the pictures: large ones take long to draw, and here they are blank."""
    (layout,), side = experiment.config.packing.layouts, experiment.config.picture
    small = experiment.config.copy_and_resolve_references()
    with small.unlocked():
        small.picture = World().resolution
    source = experiment.module.data(small)
    layout, tasks = Layout(dict(layout["lanes"]), dict(layout["streams"])), set()
    picture = functools.cache(lambda target: blank(np.zeros((side, side, 3), np.uint8), model, target=target))
    for index in range(24):
        document = source[index]
        parts = [picture(x.target) if isinstance(x, Image) else x for x in document]
        need = layout.need(model.family.write(Document(parts, document.info)), model.family.streams)
        assert all(n <= layout.size()[key] for key, n in need.items()), (need, layout)
        tasks.add(document.info["task"])
    assert tasks == {task.partition("/")[0] for task in experiment.config.tasks}


def blank(pixels, model, *, target=False):
    """A picture with what would be read of it, in zeros where a network reads."""
    family = model.family
    if target or family.reader is None:
        ways = [(family.codec, pixels)]
    else:
        ways = [(x.codec, x.prepare(pixels)) for x in getattr(family.reader, "ways", [family.reader])]
    values = [values_of(codec, shown) for codec, shown in ways]
    return Image(pixels, target=target, values=values[0] if len(values) == 1 else tuple(values))


def values_of(codec, pixels):
    """What a codec reads of a picture, in zeros where it is a network."""
    network = getattr(codec, "codec", codec)
    if not isinstance(network, NetworkCodec):
        return codec.encode({}, np.asarray(pixels[None], np.float32))[0]
    if isinstance(codec, NetworkCodec):
        return np.zeros(codec.entries(*pixels.shape[:2]), codec.dtype)
    return np.zeros((*codec.grid(*pixels.shape[:2]), *codec.shape), codec.dtype)


def test_behind_an_answer_mmada_learns_its_end(tokenizer):
    model = Experiment.load("configs/mmada.py:debug").model(tokenizer)
    (learned,), (blank,) = (model.plan([Text("red?"), x]) for x in (Text("yes", target=True), Text(target=True)))
    (_, said), (_, made) = learned.parts[-1], blank.parts[-1]
    end = model.family.tokenizer.special_id("eos_token")
    assert len(said) == Settings().max_tokens and set(said[-50:]) == {end} and end not in said[:3]
    assert model.family.tokenizer.decode(said) == "yes" and len(made) == 1


@pytest.mark.parametrize("variant", ["v1_512", "tiny"])
def test_the_mask_of_show_o_is_its_last_word(variant):
    experiment = Experiment.load(f"configs/show_o.py:{variant}")
    sizes, (_, masked) = experiment.config.published.config, experiment.objectives()
    assert sizes.llm_vocab_size + len(ADDED) + masked.mask == sizes.vocab_size - 1


def drawn(shapes):
    """Parameters of chance, without compiling what draws them."""
    rng, constants = np.random.default_rng(0), {"scale": 1.0, "variance": 1.0, "bias": 0.0, "mean": 0.0}

    def leaf(path, x):
        kind = path_name(path).rpartition("/")[2]
        if kind in constants:
            return jnp.full(x.shape, constants[kind], x.dtype)
        return jnp.asarray(0.1 * rng.normal(size=x.shape), x.dtype)

    return jax.tree_util.tree_map_with_path(leaf, shapes)


def learned(experiment, model, params, *, steps: int):
    """The losses of a batch of the config's documents before each step down its gradient, and the parameters after; the
    codec is frozen, as in training.
    """
    source, (layout,) = experiment.data(), experiment.config.packing.layouts
    spans = [model.plan(source[i], params) for i in range(4)]
    room = dict.fromkeys(model.family.streams, 0) | dict(layout["streams"])
    seq = pack([[one] for one in spans], model.family.streams, Layout(dict(layout["lanes"]), room))
    seq = jax.tree.map(jnp.asarray, seq)
    objectives = experiment.objectives()

    frozen = {name: x for name, x in params.items() if name == "codec"}
    params = {name: x for name, x in params.items() if name != "codec"}

    @jax.jit
    def step(params):
        def loss(params):
            predict = lambda shown: model.apply({"params": params | frozen}, shown, method="predict")
            return total(losses(predict, objectives, jax.random.key(1), seq), objectives)

        value, gradient = jax.value_and_grad(loss)(params)
        norm = jnp.sqrt(sum(jnp.square(x).sum() for x in jax.tree.leaves(gradient)))
        return value, jax.tree.map(lambda p, g: p - 0.1 * g / norm, params, gradient)

    values = []
    for _ in range(steps):
        value, params = step(params)
        values.append(float(value))
    return values, params | frozen


TOWERS = ("llava", "blip2", "janus", "janusflow", "show_o2", "bagel", "mogao", "unipic")  # they compile one, too
SLOW = [f"configs/{name}.py" for name in TOWERS]
LEARNED = [config for config in SYSTEMS if config != "configs/transfusion.py"]  # LlamaFusion has a lane more, no less


@pytest.mark.parametrize("config", [pytest.param(x, marks=[pytest.mark.slow] * (x in SLOW)) for x in LEARNED])
def test_a_small_one_learns_and_does_what_the_system_does(config, tokenizer):
    experiment = Experiment.load(f"{config}:debug")
    model = experiment.model(tokenizer)
    params = drawn(jax.eval_shape(lambda: parameters(model, jax.random.key(0))))
    values, params = learned(experiment, model, params, steps=3)
    assert values[0] > values[1] > values[2] > 0

    asked = [benchmark.documents[0] for benchmark in experiment.benchmarks()]
    asked = list({document.info["task"]: document for document in asked}.values())
    assert {document.info["task"] for document in asked} == SYSTEMS[config]
    settings = Settings(max_tokens=4, **experiment.config.drawing.to_dict())
    engine = Engine(model, params, rows=8, capacity=256, chunks=(128,))
    requests = [Request(document.prompt(), jax.random.key(i), settings) for i, document in enumerate(asked)]
    answers = engine.generate(requests)
    for truth, answer in zip(asked, answers):
        if isinstance(answer[-1], Image):
            assert answer[-1].pixels.shape == truth[-1].pixels.shape and answer[-1].pixels.dtype == np.uint8
        else:
            assert isinstance(answer[-1].text, str)


@pytest.mark.parametrize("config", ["configs/janus.py", "configs/emu3.py", "configs/show_o.py"])
def test_it_is_saved_as_a_published_folder(config, tokenizer, tmp_path):
    experiment = Experiment.load(f"{config}:debug")
    model = experiment.model(tokenizer)
    params = drawn(jax.eval_shape(lambda: parameters(model, jax.random.key(0))))
    save_pretrained(tmp_path, model, params)
    loaded, read = from_pretrained(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, read, params)
    assert loaded.family.published.config == json.loads(json.dumps(model.family.published.config))
    shown = blank(np.zeros((24, 24, 3), np.uint8), model)
    document = [shown, Text("what is it?"), Text("a red circle", target=True)]
    for before, after in zip(model.plan(document), loaded.plan(document), strict=True):
        for (stream, a), (same, b) in zip(before.parts, after.parts, strict=True):
            assert stream == same
            np.testing.assert_array_equal(a, b)
