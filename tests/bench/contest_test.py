"""The machinery of ``ujx bench``: turns, medians and ratios; a side that is missing, fails or does other work."""

import json
from functools import partial

import pytest

from unified_jax.bench.case import Case, Peer, difference, interleave, run
from unified_jax.bench.cases import BENCHES, cases
from unified_jax.bench.contender import Worker, from_file
from unified_jax.cli.bench import table
from unified_jax.cli.main import main
from unified_jax.core.rows import merge_rows

SIDES = """
import time
from unified_jax.bench.contender import Contender

def quick(**_):
    return Contender(lambda: time.sleep(0.1) or [1.0, 2.0], {"parameters": 1})

def slow(**_):
    return Contender(lambda: time.sleep(0.3) or [1.0, 2.0], {})

def different(**_):
    return Contender(lambda: [1.0, 2.5], {})

def broken(**_):
    raise KeyError("no weights")
"""


@pytest.fixture(scope="module")
def side(tmp_path_factory):
    """side(name) -> one of the contenders above."""
    path = tmp_path_factory.mktemp("sides") / "sides.py"
    path.write_text(SIDES)
    return lambda name: partial(from_file, source=path, function=name)


def contest(side, *, ours="quick", peer="slow", needs=None, **fields):
    told = []
    case = Case("bench:sleep", "small", side(ours), [Peer("sleeper", side(peer), needs or {})], {}, **fields)
    return run(case, repeats=1, tell=told.append), told


def test_the_side_that_takes_a_third_of_the_time_is_three_times_as_fast(side):
    (row,), told = contest(side, tolerance=0.0)
    assert row["name"] == "bench:sleep against sleeper" and row["unit"] == "ms" and not told
    assert row["ours"] >= 100 and row["peer"] >= 300  # a busy machine sleeps longer, never shorter
    assert row["ratio"] == pytest.approx(row["peer"] / row["ours"], abs=0.01) and row["ratio"] > 1.2
    assert row["ours_facts"] == {"parameters": 1}


def test_tokens_a_second_count_the_tokens_of_one_run_and_more_is_faster():
    case = Case("x", "small", from_file, [], {}, tokens=10)
    assert case.figure(2.0) == 5.0 and case.unit == "tokens/s"


def test_a_peer_that_is_not_installed_is_named_with_its_command(side):
    rows, told = contest(side, needs={"some-package": "package_that_is_not_there"})
    assert rows == [] and "pip install some-package" in told[0]


def test_a_peer_that_fails_is_told_and_left_out(side):
    rows, told = contest(side, peer="broken")
    assert rows == [] and "no weights" in told[0]


def test_a_failure_of_our_own_side_is_an_error(side):
    with pytest.raises(RuntimeError, match="no weights"):
        contest(side, ours="broken")


def test_sides_that_do_different_work_are_not_compared(side):
    with pytest.raises(RuntimeError, match="differ by 2.0e-01"):
        contest(side, peer="different", tolerance=0.1)


def test_sides_are_timed_in_turns_and_quick_ones_repeated():
    calls = []

    class Fake(Worker):
        def __init__(self, name, each):
            self.name, self.each = name, each

        def seconds(self, runs):
            calls.append((self.name, runs))
            return self.each

    times = interleave([Fake("a", 0.1), Fake("b", 1.0)], 3)
    assert times == [[0.1] * 3, [1.0] * 3]
    assert calls == [("a", 1), ("b", 1)] + [("a", 3), ("b", 1)] * 3


def test_the_difference_is_relative_to_each_array():
    assert difference([[1.0, 2.0], [100.0]], [[1.0, 2.5], [100.0]]) == pytest.approx(0.2)


def test_every_row_of_a_name_is_replaced_and_others_are_kept(tmp_path):
    path = tmp_path / "deep" / "rows.json"
    merge_rows(path, [{"name": "b", "x": 1}, {"name": "a", "x": 1}])
    merged = merge_rows(path, [{"name": "b", "y": 2}])
    assert merged == json.loads(path.read_text()) == [{"name": "a", "x": 1}, {"name": "b", "y": 2}]


@pytest.mark.parametrize("content", ["{", '["a"]', "[{}]", "3"])
def test_a_file_of_something_else_is_refused_and_kept(tmp_path, content):
    path = tmp_path / "rows.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="not a list of rows"):
        merge_rows(path, [])
    assert path.read_text() == content


def test_names_of_cases_differ():
    names = [case.name for bench in BENCHES for case in cases(bench)]
    assert len(names) == len(set(names))


def test_the_table_shows_medians_ranges_and_the_ratio():
    row = dict(name="x against y", peer_name="y", unit="ms", ours=2.0, peer=4.0, ratio=2.0)
    row |= dict(ours_range=[1.5, 3.0], peer_range=[4.0, 4.0])
    cells = [list(column.cells)[0] for column in table([row]).columns]
    assert cells == ["x", "y", "ms", r"2 \[1.5, 3]", r"4 \[4, 4]", "2.00"]


def test_bad_flags_are_one_line_and_exit_code_2(capsys):
    assert main(["bench", "moe", "--repeats", "0"]) == 2
    assert "--repeats must be 1 or more" in capsys.readouterr().err
