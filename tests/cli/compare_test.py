"""ujx compare: a study is trained, scored and put on a page; the same command again only goes on."""

import json

import pytest

from unified_jax.cli.main import main

CONFIG = "configs/compare/objective.py:debug"
SMALL = ("--config.study.variants=(('flow', 'Flow of patches'),)", "--config.steps=1", "--config.test_size=1")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "study"
    assert main(["compare", "--config", CONFIG, "--workdir", str(workdir), *SMALL]) == 0
    return workdir


def test_a_study_leaves_its_runs_its_figures_and_a_page(study):
    compared = json.loads((study / "compare.json").read_text())
    flow = compared["variants"]["flow"]
    assert flow["runs"] == ["flow/seed_0"] and (study / "flow/seed_0/model").is_dir()
    assert set(flow["scores"]) == {"drawn_new@2 passes", "drawn_seen@2 passes", "caption_exact"}
    drawn, caption = flow["scores"]["drawn_new@2 passes"], flow["scores"]["caption_exact"]
    assert drawn["flops"] > 0 and "flops" not in caption
    assert drawn["each"] == [drawn["value"]] and drawn["low"] is None and drawn["cases"] == 1
    page = (study / "compare.html").read_text()
    assert "Flow of patches" in page and "<svg" in page and "data:image/png" in page and "http://" not in page


def test_the_same_command_again_trains_nothing_and_writes_the_page(study):
    finished, page = study / "flow/seed_0/metrics.json", study / "compare.html"
    before = finished.stat().st_mtime_ns
    page.unlink()
    assert main(["compare", "--config", CONFIG, "--workdir", str(study), *SMALL]) == 0
    assert page.exists() and finished.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config", "configs/demo.py:debug"], "no study; a config to compare has study.variants and study.seeds"),
        (["--config", "configs/compare/objective.py:huge"], "unknown variant 'huge'"),
    ],
)
def test_what_is_no_study_is_refused_in_one_line(capsys, tmp_path, arguments, words):
    assert main(["compare", *arguments, "--workdir", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err
