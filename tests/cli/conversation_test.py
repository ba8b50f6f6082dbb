"""A conversation in the terminal: every line is answered in sight of what was said before."""

import jax
import pytest

from unified_jax.cli.chat import converse
from unified_jax.cli.main import main
from unified_jax.data.document import Text
from unified_jax.models.pretrained import parameters, save_pretrained
from unified_jax.models.transfusion import transfusion


@pytest.fixture(scope="module")
def system(tokenizer):
    model = transfusion(tokenizer, width=32, depth=2, num_heads=2, hidden=64, patch=4, image_size=(8, 8))
    leaves, tree = jax.tree.flatten(jax.jit(lambda key: parameters(model, key))(jax.random.key(0)))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    return model, tree.unflatten([x + 0.3 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys)])


def test_every_line_is_answered_and_empty_ones_are_passed_over(system, capsys):
    document = converse(*system, ["hello", "  ", "and now?"], rng=jax.random.key(0), max_tokens=6)
    assert [(part.text, part.target) for part in document if not part.target] == [("hello", False), ("and now?", False)]
    answers = [part.text for part in document.targets]
    assert len(answers) == 2 and capsys.readouterr().out.splitlines() == [text.rstrip("\n") for text in answers]


def test_an_answer_depends_on_what_was_said_before(system):
    second = lambda first: converse(*system, [first, "and now?"], rng=jax.random.key(0), max_tokens=8)[-1].values
    assert len({tuple(second(text)) for text in ("hello", "a red circle", "blue", "what?")}) > 1


def test_the_command_reads_lines_and_keeps_the_conversation(system, tmp_path, monkeypatch, capsys):
    save_pretrained(tmp_path / "model", *system)
    lines = iter(["hello"])
    monkeypatch.setattr("builtins.input", lambda sign: next(lines, None) or _end())
    out = tmp_path / "out"
    assert main(["sample", "--checkpoint", str(tmp_path / "model"), "--chat", "--out", str(out)]) == 0
    assert Text("hello").text in (out / "sample.json").read_text()
    assert capsys.readouterr().out.strip()


def _end():
    raise EOFError
