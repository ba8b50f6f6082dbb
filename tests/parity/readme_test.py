"""The README's table of parity is the one of the recorded rows, and no row is outside its tolerance."""

import json

import pytest
from decoders import CASES
from parity_table import shown, table, update_readme


@pytest.fixture(scope="module")
def rows(root):
    return json.loads((root / "experiments" / "parity" / "results.json").read_text())


def test_the_readme_shows_the_recorded_rows(root, rows):
    assert shown(root / "README.md") == table(rows)


def test_every_decoder_has_a_row_within_its_tolerance(rows):
    assert {f"decoder:{case.name}" for case in CASES} <= {row["name"] for row in rows}
    assert all(row["worst_relative"] <= row["tolerance"] for row in rows)


def test_a_readme_without_markers_is_left_alone(tmp_path, rows):
    path = tmp_path / "README.md"
    path.write_text("nothing to replace")
    with pytest.raises(ValueError, match="each marker once"):
        update_readme(path, rows)
    assert path.read_text() == "nothing to replace"
