"""One self-contained HTML page per run folder: `build(run)` writes `run/report.html`."""

from unified_jax.report.page import Chapter, build

__all__ = ["Chapter", "build"]
