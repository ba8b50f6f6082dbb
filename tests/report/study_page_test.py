"""The page of a study: every kind's figures and pictures, nothing from outside, and a clear line where it is none."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from unified_jax.report.study import build_study


@pytest.fixture
def folder(tmp_path):
    """Two kinds, two runs each; only the first has codes."""
    study = {}
    for i, kind in enumerate(("nearest", "gaussian")):
        scores = {
            "psnr": dict(value=30.25 + i, low=29.25 + i, high=31.25 + i, n=2),
            "parameters": dict(value=120_000.0, low=0.0, high=0.0, n=2),
        }
        if not i:
            scores["codes/usage"] = dict(value=0.5, low=0.4, high=0.6, n=2)
        study[kind] = {"runs": [f"{kind}-0", f"{kind}-1"], "scores": scores}
        samples = tmp_path / f"{kind}-0" / "samples"
        samples.mkdir(parents=True)
        records = []
        for group in ("three objects", "four objects", "one object, combinations never trained on"):
            for number in range(2):
                name = f"{group[:3]}_{number}.png"
                Image.fromarray(np.full((4, 4, 3), 40 * number, np.uint8)).save(samples / name)
                part = [{"image": name}]
                records.append(
                    dict(step=9, task="copy", group=group, prompt=part, output=part, truth=part, correct=number == 0)
                )
        (samples / "index.json").write_text(json.dumps(records))
    (tmp_path / "study.json").write_text(json.dumps({"note": "All < equal.", "kinds": study}))
    return tmp_path


def test_the_page_shows_every_kind_and_asks_nobody_for_anything(folder):
    html = build_study(folder).read_text()
    assert "30.2 ± 1" in html and "31.2 ± 1" in html and "120k" in html
    assert "PSNR, dB" in html and ">VQ<" in html and ">KL<" in html
    assert re.search(
        r'Share of the codes in use</th>\s*<td class="number">0.5 ± 0.1</td>\s*<td class="number">–</td>', html
    )
    assert html.count("data:image/png") == 2 * 3  # two scenes: the original and both kinds
    assert "All &lt; equal." in html
    assert "four objects" in html and "three objects" not in html
    assert html.count('class="mark right"') == html.count('class="mark wrong"') == 2
    assert "http://" not in html and "https://" not in html and 'src="/' not in html


def test_a_folder_that_is_no_study_is_named(tmp_path):
    with pytest.raises(ValueError, match="not the folder of a study"):
        build_study(tmp_path)
