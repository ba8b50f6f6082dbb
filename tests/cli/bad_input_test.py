"""Bad input is one clear line on stderr and exit code 2; good input that looks odd is not refused."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image as Pillow

from unified_jax.cli.main import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished debug run."""
    workdir = tmp_path_factory.mktemp("runs") / "demo"
    assert main(["train", "--config", "configs/demo.py:debug", "--workdir", str(workdir), "--config.test_size=2"]) == 0
    return workdir


def refused(capsys, *argv: str) -> str:
    """Runs a command that must fail; returns its one line."""
    capsys.readouterr()
    assert main(list(argv)) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ujx: error: ")]
    assert len(lines) == 1
    return lines[0]


def train(workdir, *more: str) -> tuple[str, ...]:
    return ("train", "--config", "configs/demo.py:debug", "--workdir", str(workdir), *more)


def test_a_run_leaves_its_report_scores_and_model(run):
    metrics = json.loads((run / "metrics.json").read_text())
    for name in ("caption_exact", "image_exact", "answer_exact", "image_exact_two", "edit_exact"):
        score = metrics[name]
        assert 0 <= score["low"] <= score["value"] <= score["high"] <= 1 and score["n"] == 2
    assert {"train_minutes", "total_minutes", "train_steps", "parameters"} <= set(metrics)
    page = (run / "report.html").read_text()
    assert "<html" in page and "Real emoji, trained beforehand" in page


def test_an_unknown_config_field_names_the_nearest(capsys, tmp_path):
    line = refused(capsys, *train(tmp_path, "--config.model.widht=8"))
    assert "unknown config field 'model.widht'" in line and "did you mean model.width?" in line


def test_a_value_of_the_wrong_kind(capsys, tmp_path):
    assert "holds a int, found 'many'" in refused(capsys, *train(tmp_path, "--config.steps=many"))


def test_a_value_that_would_fail_only_later(capsys, tmp_path):
    assert "on_bad_step is 'skipp'" in refused(capsys, *train(tmp_path, "--config.on_bad_step=skipp"))
    assert "log_every must be 1 or more" in refused(capsys, *train(tmp_path, "--config.log_every=0"))


def test_a_run_folder_of_another_config_stays_as_it_is(capsys, run):
    before = (run / "config.json").read_bytes()
    line = refused(capsys, *train(run, "--config.test_size=2", "--config.seed=7"))
    assert "holds a run with seed=0, not 7" in line
    line = refused(capsys, "train", "--config", "configs/emoji/transfusion.py:debug", "--workdir", str(run))
    assert "holds a run with" in line
    assert (run / "config.json").read_bytes() == before


def test_a_config_that_imports_what_is_not_there(capsys, tmp_path):
    (tmp_path / "mine.py").write_text("import nothing_of_this_name")
    line = refused(capsys, "train", "--config", str(tmp_path / "mine.py"), "--workdir", str(tmp_path / "run"))
    assert "mine.py: No module named 'nothing_of_this_name'" in line


def test_a_missing_config(capsys, tmp_path):
    line = refused(capsys, "train", "--config", "configs/nothing.py", "--workdir", str(tmp_path))
    assert "configs/nothing.py: no such config file" in line


def test_an_unknown_variant(capsys, tmp_path):
    line = refused(capsys, "train", "--config", "configs/demo.py:huge", "--workdir", str(tmp_path))
    assert "unknown variant 'huge'" in line


def test_a_mesh_that_does_not_divide_the_devices(capsys, tmp_path):
    assert "does not divide the 8 devices" in refused(capsys, *train(tmp_path, "--config.mesh.data=3"))


def test_rows_that_do_not_divide_over_the_mesh(capsys, tmp_path):
    assert "packing.rows" in refused(capsys, *train(tmp_path, "--config.packing.rows=7"))


def test_a_folder_that_is_no_checkpoint(capsys, tmp_path, run):
    line = refused(capsys, "sample", "--checkpoint", str(tmp_path), "--prompt", "red")
    assert "not a checkpoint folder (it has no config.json)" in line
    line = refused(capsys, "sample", "--checkpoint", str(tmp_path / "none"), "--prompt", "red")
    assert "no such checkpoint folder" in line
    assert "not a run folder" in refused(capsys, "sample", "--workdir", str(tmp_path), "--prompt", "red")
    line = refused(capsys, "sample", "--workdir", str(run / "model"), "--prompt", "red")
    assert "not a run folder but a checkpoint: give it as --checkpoint" in line


def test_a_damaged_model_file(capsys, tmp_path, run):
    copy = tmp_path / "model"
    shutil.copytree(run / "model", copy)
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "damaged" in refused(capsys, "sample", "--checkpoint", str(copy), "--prompt", "red")


def test_a_model_file_of_another_size(capsys, tmp_path, run):
    copy = tmp_path / "model"
    shutil.copytree(run / "model", copy)
    config = json.loads((copy / "config.json").read_text())
    config["arguments"]["width"] = 64
    (copy / "config.json").write_text(json.dumps(config))
    assert "does not fit this model" in refused(capsys, "sample", "--checkpoint", str(copy), "--prompt", "red")


def test_a_damaged_training_checkpoint(capsys, tmp_path, run):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    for path in (copy / "checkpoints").rglob("*"):
        if path.is_file() and path.stat().st_size > 2000:
            path.write_bytes(path.read_bytes()[:100])
    assert "damaged" in refused(capsys, *train(copy, "--config.test_size=2"))


def test_pictures_that_cannot_be_read(capsys, tmp_path, run):
    sample = ("sample", "--workdir", str(run), "--out", str(tmp_path / "out"), "--image")
    assert "no such picture" in refused(capsys, *sample, str(tmp_path / "none.png"))
    (tmp_path / "text.png").write_text("not a picture")
    assert "not a readable picture" in refused(capsys, *sample, str(tmp_path / "text.png"))
    (tmp_path / "zero.png").write_bytes(b"")
    assert "not a readable picture" in refused(capsys, *sample, str(tmp_path / "zero.png"))
    Pillow.fromarray(np.zeros((72, 36, 3), np.uint8)).save(tmp_path / "large.png")
    assert "reads at most 36x36" in refused(capsys, *sample, str(tmp_path / "large.png"))
    Pillow.fromarray(np.zeros((31, 32, 3), np.uint8)).save(tmp_path / "odd.png")
    assert "positive multiples of 12" in refused(capsys, *sample, str(tmp_path / "odd.png"))


def test_an_empty_prompt_and_impossible_settings(capsys, run):
    sample = ("sample", "--workdir", str(run), "--prompt")
    assert "empty text" in refused(capsys, *sample, "  ")
    assert "steps must be 1 or more" in refused(capsys, *sample, "red", "--steps", "0")
    assert "block must be 1 or more" in refused(capsys, *sample, "red", "--block", "0")
    assert "--count must be 1 or more" in refused(capsys, *sample, "red", "--count", "0")


def test_an_unknown_benchmark(capsys, run):
    line = refused(capsys, "evaluate", "--workdir", str(run), "--benchmark", "nothing")
    assert "unknown benchmark 'nothing'; there are caption_exact" in line


def test_a_prompt_of_characters_never_seen_is_drawn_and_a_picture_described(capsys, tmp_path, run):
    out = tmp_path / "out"
    prompt = "ein rötes 日本 <boi> \U0001f600"
    argv = ["sample", "--workdir", str(run), "--prompt", prompt, "--out", str(out), "--steps", "2", "--block", "16"]
    assert main([*argv, "--count", "2"]) == 0
    assert Pillow.open(out / "sample_000_0.png").size == (36, 36)
    records = json.loads((out / "sample.json").read_text())["samples"]
    assert len(records) == 2 and records[0]["block"] == 16
    described = ["sample", "--workdir", str(run), "--image", str(out / "sample_000_0.png"), "--out", str(out)]
    assert main([*described, "--max_tokens", "3"]) == 0


def test_evaluate_prints_intervals(capsys, tmp_path, run):
    argv = ["evaluate", "--workdir", str(run), "--benchmark", "caption_exact", "--limit", "2", "--out", str(tmp_path)]
    assert main(argv) == 0
    assert "n=2" in capsys.readouterr().out
    assert json.loads((tmp_path / "metrics.json").read_text())["caption_exact"]["n"] == 2
