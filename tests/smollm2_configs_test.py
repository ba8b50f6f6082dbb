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
from unified_jax.data.document import Image, Text
from unified_jax.evals.benchmark import run
from unified_jax.models.pretrained import from_pretrained, open_pretrained, parameters, save_pretrained
from unified_jax.sampling.generate import generate
from unified_jax.train.experiment import Experiment
from unified_jax.train.loop import Trained, train


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


def test_a_language_model_that_is_taught_to_see_forgets_nothing(aligned):
    assert not aligned.changed
    now, before = aligned.plain
    np.testing.assert_array_equal(now, before)
    assert len(now) == 24 and np.ptp(now) > 0


def test_the_second_stage_begins_as_the_first_ended(aligned):
    experiment = Experiment.load("configs/smollm2/align.py:lora,debug", [f"checkpoint={aligned.folder}"])
    model, lora = experiment.model(None), experiment.lora()
    given = experiment.given(model)
    same(given, aligned.trained.params)
    fresh = lora.draw(jax.random.key(0), given, model=model)
    assert len(fresh["low_rank"]) == 7 and all(path.startswith("embed_vision/") for path in fresh["whole"])
    same(lora.merge(given, fresh), given)
    moved = jax.tree.map(lambda x: x + 0.1, fresh)
    assert not np.array_equal(of_queries(lora.merge(given, moved)), of_queries(given))
    same(given, aligned.trained.params)  # adapters taken away, it is the model before


def of_queries(params: Any) -> np.ndarray:
    return params["backbone"]["layer"]["q_main"]["kernel"]


def reopened(run: Run) -> tuple[Any, Any]:
    """The saved model, which is the one that was trained in all that generating depends on."""
    model, params = from_pretrained(run.folder)
    before, after = run.trained.model.family, model.family
    same(params, run.trained.params)
    assert json.loads(json.dumps(before.published.config)) == after.published.config
    assert before.tokenizer.stop == after.tokenizer.stop and before.tokenizer.template == after.tokenizer.template
    for document in map(run.experiment.data().__getitem__, range(4)):
        for old, new in zip(before.plan(document), after.plan(document), strict=True):
            assert old.fill == new.fill and old.learn == new.learn
            for (stream, a), (again, b) in zip(old.parts, new.parts, strict=True):
                assert stream == again
                np.testing.assert_array_equal(a, b)
    return model, params


def test_what_was_aligned_reopens_the_same_and_answers(aligned):
    model, params = reopened(aligned)
    picture = np.zeros((36, 36, 3), np.uint8)
    answer = generate(model, params, [Image(picture), Text("what is it?"), Text(target=True)], max_tokens=2)[-1]
    assert len(answer.values)


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
    np.testing.assert_allclose(now, before, rtol=1e-6)  # by another program, whose attention sees a lane more
    untrained = dataclasses.replace(mixed.trained, params=started(mixed))
    np.testing.assert_array_equal(now, dataclasses.replace(mixed, trained=untrained).plain[0])


def started(mixed: Run) -> Any:
    """The parameters before training, but for those that nothing brought along."""
    merge = lambda new, old: {k: merge(v, old[k]) if isinstance(v, dict) else old.get(k, v) for k, v in new.items()}
    given = mixed.experiment.given(mixed.trained.model)
    return {**mixed.trained.params, **{name: merge(mixed.trained.params[name], given[name]) for name in given}}


def test_what_was_mixed_reopens_the_same_and_draws_what_it_is_told(mixed):
    model, params = reopened(mixed)
    asked = [[Text(words), Image(target=True)] for words in ("a small red circle", "a large blue star")]
    keys = jax.random.key(0)
    first, second = (generate(model, params, each, rng=keys, steps=2)[-1] for each in asked)
    assert first.pixels.shape == (36, 36, 3) and not np.array_equal(first.values, second.values)


def sizes(model: Any) -> dict[str, tuple[int, ...]]:
    shapes = jax.eval_shape(lambda: parameters(model, jax.random.key(0)))
    return {path: x.shape for path, x in flatten_dict(dict(shapes), sep="/").items()}


@pytest.mark.parametrize(("config", "template"), [("align", language.TURNS), ("mixture", None)])
def test_the_packaged_model_takes_its_place_as_it_is(config, template):
    c = Experiment.load(f"configs/smollm2/{config}.py").config
    alone, model = language.opened(c).model, language.system(c, template)
    words = model.family.tokenizer
    for token in (language.PICTURE, language.END):
        (id,) = words.encode(token, markup=True)
        assert id not in words.encode(token)  # what people write is never a picture
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
