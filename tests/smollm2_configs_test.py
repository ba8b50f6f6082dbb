"""Systems that start from a language model: it stays as it is, what is added begins as said, what is saved reopens."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from configs.smollm2 import language
from unified_jax.core.sequence import Interleaved
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.evals.benchmark import run
from unified_jax.models.pretrained import from_pretrained, open_pretrained, parameters, save_pretrained
from unified_jax.sampling.generate import generate
from unified_jax.train.begin import begin
from unified_jax.train.experiment import Experiment
from unified_jax.train.loop import Trained, train
from unified_jax.train.sharding import make_mesh


@dataclasses.dataclass(frozen=True)
class Run:
    experiment: Experiment
    trained: Trained
    folder: Path  # of what was saved

    @property
    def plain(self) -> tuple[np.ndarray, np.ndarray]:
        """What each plain sentence costs after training, and the language model alone."""
        kept = [benchmark for benchmark in self.experiment.benchmarks() if benchmark.name.startswith("plain_nats")]
        return tuple(np.asarray(run(each, self.trained.model, self.trained.params).correct) for each in kept)

    @property
    def changed(self) -> set[str]:
        """Which of the parameters that were brought along are others now."""
        before, after = flat(self.experiment.given(self.trained.model)), flat(self.trained.params)
        return {path for path in before if not np.array_equal(before[path], after[path])}


def trained(config: str, workdir: Path) -> Run:
    experiment = Experiment.load(f"{config}:debug", ["steps=2", "optimizer.learning_rate=0.01"])
    found = train(experiment, workdir)
    losses = [json.loads(line)["loss"] for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert len(losses) == 2 and np.isfinite(losses).all()
    save_pretrained(workdir / "model", found.model, found.params)
    return Run(experiment, found, workdir / "model")


@pytest.fixture(scope="module")
def aligned(tmp_path_factory) -> Run:
    return trained("configs/smollm2/align.py", tmp_path_factory.mktemp("align"))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Run:
    return trained("configs/smollm2/mixture.py", tmp_path_factory.mktemp("mixture"))


def flat(tree: Any) -> dict[str, np.ndarray]:
    return {path: np.asarray(x) for path, x in flatten_dict(dict(tree), sep="/").items()}


def same(a: Any, b: Any) -> None:
    a, b = flat(a), flat(b)
    assert set(a) == set(b)
    for path in a:
        np.testing.assert_array_equal(a[path], b[path], err_msg=path)


def packed(model: Any, document: Document) -> Interleaved:
    family = model.family
    room = Layout(dict.fromkeys(family.smallest.capacity, 96), dict.fromkeys(family.streams, 72))
    return jax.tree.map(np.asarray, pack([[model.plan(document)]], family.streams, room))


def test_a_language_model_that_is_taught_to_see_forgets_nothing(aligned):
    assert not aligned.changed
    now, before = aligned.plain
    np.testing.assert_array_equal(now, before)
    assert len(now) == 24 and np.ptp(now) > 0


def test_the_second_stage_begins_as_the_first_ended(aligned):
    experiment = Experiment.load("configs/smollm2/align.py:lora,debug", [f"checkpoint={aligned.folder}"])
    model = experiment.model(None)
    given = experiment.given(model)
    same(given, aligned.trained.params)
    beginning = begin(experiment, model, mesh=make_mesh({"data": -1}), given=given)
    fresh = beginning.create(jax.random.key(0), beginning.given).params
    assert len(fresh["low_rank"]) == 7 and all(path.startswith("embed_vision/") for path in fresh["whole"])
    same(beginning.join(fresh), given)
    seq = packed(model, experiment.data()[0])
    predict = lambda adapters: beginning.model.apply({"params": adapters, **beginning.beside}, seq, method="predict")[
        "text"
    ]
    first = model.apply({"params": given}, seq, method="predict")["text"]
    np.testing.assert_array_equal(predict(fresh), first)
    assert not np.allclose(predict(jax.tree.map(lambda x: x + 0.1, fresh)), first, atol=1e-3)


def test_what_was_aligned_reopens_and_answers_the_same(aligned):
    model, params = from_pretrained(aligned.folder)
    same(params, aligned.trained.params)
    pixels = aligned.experiment.data()[0].parts
    question = [next(part for part in pixels if isinstance(part, Image)), Text("what is it?"), Text(target=True)]
    made = [generate(m, params, question, max_tokens=5)[-1].values for m in (model, aligned.trained.model)]
    assert made[0].tolist() == made[1].tolist() and len(made[0])


def test_the_second_expert_begins_as_a_copy_of_the_language_model(mixed):
    given = flat(mixed.experiment.given(mixed.trained.model))
    of_pictures = {path for path in given if "_picture/" in path}
    assert len(of_pictures) == 10  # of q, k, v, o, gate, up, down, two norms and the last
    for path in of_pictures:
        np.testing.assert_array_equal(given[path], given[path.replace("_picture/", "_main/")], err_msg=path)
    assert set(given) - of_pictures == set(flat(open_pretrained(language.EXAMPLE).read(lambda shapes: shapes)))
    assert mixed.changed == of_pictures


def test_a_language_model_that_is_taught_to_draw_forgets_nothing(mixed):
    now, before = mixed.plain
    np.testing.assert_allclose(now, before, rtol=0, atol=1e-6)
    untrained = dataclasses.replace(mixed.trained, params=started(mixed))
    np.testing.assert_array_equal(now, dataclasses.replace(mixed, trained=untrained).plain[0])


def started(mixed: Run) -> Any:
    """The parameters before training, but for those that nothing brought along."""
    merge = lambda new, old: {k: merge(v, old[k]) if isinstance(v, dict) else old.get(k, v) for k, v in new.items()}
    given = mixed.experiment.given(mixed.trained.model)
    return {**mixed.trained.params, **{name: merge(mixed.trained.params[name], given[name]) for name in given}}


def test_words_lead_to_pictures_and_what_was_mixed_reopens_and_draws_the_same(mixed):
    model, params = from_pretrained(mixed.folder)
    same(params, mixed.trained.params)
    draw = lambda m, words: generate(m, params, [Text(words), Image(target=True)], steps=2)[-1].values
    first = draw(model, "a small red circle")
    np.testing.assert_array_equal(first, draw(mixed.trained.model, "a small red circle"))
    assert not np.array_equal(first, draw(model, "a large blue star"))


def sizes(model: Any) -> dict[str, tuple[int, ...]]:
    shapes = jax.eval_shape(lambda: parameters(model, jax.random.key(0)))
    return {path: x.shape for path, x in flatten_dict(dict(shapes), sep="/").items()}


@pytest.mark.parametrize(("config", "template"), [("align", language.TURNS), ("mixture", None)])
def test_the_packaged_model_takes_its_place_as_it_is(config, template):
    c = Experiment.load(f"configs/smollm2/{config}.py").config
    alone, model = language.opened(c).model, language.system(c, template)
    words = model.family.tokenizer
    for token in (language.PICTURE, language.END):
        assert len(words.encode(token, markup=True)) == 1 and token not in words.decode(words.encode(token))
    own, all_of_it = sizes(alone), sizes(model)
    assert sum(map(np.prod, own.values())) == 134_515_008 and own.items() <= all_of_it.items()


def test_it_speaks_as_it_was_taught_but_for_what_its_template_says_first():
    c = Experiment.load("configs/smollm2/align.py").config
    taught = language.opened(c).model.family.tokenizer
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    said = taught.render(messages).partition("<|im_end|>\n")[2]  # what comes after its system turn
    speaker = taught.speaking(language.TURNS)
    assert speaker.render(messages) + "\n" == said
    assert taught.render(messages[:1], ask=True).endswith(speaker.render(messages[:1], ask=True))
    assert taught.speaking(None).template is None and taught.template is not None
