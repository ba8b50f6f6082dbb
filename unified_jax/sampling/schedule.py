"""Schedule: which jobs a tick serves.

The group with the most rows, so that few rows stand idle. But a job that ``PATIENCE`` ticks have passed over comes
first, the longest waiting before all others: where jobs form G groups, none waits more than PATIENCE + G - 1 ticks.
"""

from collections import Counter
from collections.abc import Sequence

from unified_jax.sampling.requests import Job

PATIENCE = 4


def next_jobs(serving: Sequence[Job]) -> list[Job]:
    """The jobs of the group whose turn it is; those of the others wait one tick more."""
    longest = max(serving, key=lambda job: job.waited)
    most = Counter(job.group for job in serving for _ in job.rows).most_common(1)[0][0]
    group = longest.group if longest.waited >= PATIENCE else most
    for job in serving:
        job.waited = 0 if job.group == group else job.waited + 1
    return [job for job in serving if job.group == group]
