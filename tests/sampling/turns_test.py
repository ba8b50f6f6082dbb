"""Schedule: the largest group is served first, and nobody waits longer than the bound."""

from hypothesis import given
from hypothesis import strategies as st

from unified_jax.sampling.requests import Job, Row
from unified_jax.sampling.schedule import PATIENCE, next_jobs


class Waiting(Job):
    """A job of which no more is known than its group."""

    group = None

    def __init__(self, group: str, rows: int):
        self.group, self.rows, self.waited = group, [Row() for _ in range(rows)], 0


def job(group: str, rows: int = 1) -> Waiting:
    return Waiting(group, rows)


def test_the_group_of_most_rows_is_served_whole():
    jobs = [job("ids"), job("picture", rows=2), job("ids", rows=2)]
    assert next_jobs(jobs) == [jobs[0], jobs[2]]


def test_a_lone_job_is_served_after_so_many_ticks_and_waits_anew():
    alone, crowd = job("picture"), [job("ids") for _ in range(3)]
    served = [next_jobs([*crowd, alone]) == [alone] for _ in range(3 * (PATIENCE + 1))]
    assert served == ([False] * PATIENCE + [True]) * 3


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=6, max_size=6), min_size=5, max_size=20))
def test_nobody_waits_longer_than_the_bound(arrivals):
    """A job stays until it is served; then another comes, of any group."""
    serving, waited = [job(group) for group in arrivals[0]], 0
    for groups in arrivals[1:] * 3:
        for done in next_jobs(serving):
            serving[serving.index(done)] = job(groups.pop()) if groups else done
        waited = max(waited, *(job.waited for job in serving))
    assert waited <= PATIENCE + len("abc") - 1


def test_of_two_that_waited_too_long_the_longer_comes_first():
    jobs = [job("ids", rows=3), job("small"), job("large")]
    jobs[1].waited, jobs[2].waited = PATIENCE, PATIENCE + 1
    assert [next_jobs(jobs) for _ in range(2)] == [[jobs[2]], [jobs[1]]]
