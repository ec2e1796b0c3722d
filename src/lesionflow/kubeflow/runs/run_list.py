"""What is shown of runs in a list."""

from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from lesionflow.kubeflow.runs.run_reader import RunReader
from lesionflow.kubeflow.runs.runs import seconds_of, verdict
from lesionflow.kubeflow.runs.task_details import moment
from lesionflow.runtime.run_display import clock


def table_of(reader: RunReader, runs: Sequence[Any]) -> Table:
    """Runs as a table that fits 80 columns. Only the beginning of an id is shown, which will do to name a run."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for title in ("run", "name", "state", "started", "duration", "verdict"):
        table.add_column(title, no_wrap=title != "name", overflow="fold")
    for run in runs:
        started, duration, state = facts_of(run)
        said = verdict(reader, run)
        table.add_row(*map(escape, (run.run_id[:8], run.display_name or "", state, started, duration, said)))
    return table


def facts_of(run: Any) -> tuple[str, str, str]:
    """When a run started, how long it took, and its state, in words."""
    started, seconds = moment(run.created_at), seconds_of(run)
    return (
        f"{started.astimezone():%Y-%m-%d %H:%M}" if started else "",
        "" if seconds is None else clock(seconds),
        (run.state or "PENDING").lower(),
    )
