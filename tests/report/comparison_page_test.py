"""The page of a study: every variant in every table, intervals where there are several seeds, one line a variant."""

import json

import pytest

from unified_jax.report.comparison import build_comparison

HOSTILE = "<script>alert(1)</script>"


def score(values: list[float], **fields) -> dict:
    mean = sum(values) / len(values)
    return {
        "title": "one object",
        "each": values,
        "cases": 64,
        "value": mean,
        "low": mean - 0.2,
        "high": mean + 0.2,
    } | fields


@pytest.fixture
def folder(tmp_path):
    """Two variants, one of which can be drawn in two ways."""

    def variant(title: str, scores: dict) -> dict:
        figures = dict(parameters=800_000, train_steps=1000, train_minutes=2.5, train_flops_per_step=6.5e9)
        (tmp_path / title).mkdir()
        return {"title": title, "runs": [title], "scores": scores, **figures}

    alone = score([0.5], low=None, high=None, flops=3e8)
    study = {
        "title": "A study",
        "note": HOSTILE,
        "seeds": [0, 1],
        "minutes": {"training": 5.0},
        "environment": {"jax": "0"},
        "config": {"steps": 1000, "model": {"width": 128}},
        "variants": {
            "masked": variant(
                "Masked codes",
                {
                    "drawn@4 passes": score([0.1, 0.3], flops=1e8),
                    "drawn@8 passes": score([0.9, 0.95], flops=2e8),
                    "caption_exact": score([0.7, 0.75]),
                },
            ),
            "next": variant("Next code", {"drawn@one by one": alone, "caption_exact": score([0.25, 0.35])}),
        },
    }
    (tmp_path / "compare.json").write_text(json.dumps(study))
    return tmp_path


def test_every_value_stands_in_its_table_with_its_interval_and_seeds(folder):
    page = build_comparison(folder).read_text()
    for words in (
        "Masked codes",
        "Next code",
        "4 passes",
        "8 passes",
        "one by one",
        "92.5%",
        "72.5% to 100.0%",
        "0.0% to 40.0%",
    ):
        assert words in page, words
    assert "90% 95%" in page and "100M" in page and page.count("<svg") == 1
    assert HOSTILE not in page


def test_the_plot_has_a_line_for_each_variant_that_draws(folder):
    page = build_comparison(folder).read_text()
    svg = page[page.index("<svg") : page.index("</svg>")]
    assert svg.count("Masked codes") == svg.count("Next code") == 1


def test_a_folder_without_a_study_is_named(tmp_path):
    with pytest.raises(ValueError, match="not the folder of a study"):
        build_comparison(tmp_path)
