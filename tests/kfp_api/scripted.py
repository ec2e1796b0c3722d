"""Runs on the stand-in API server whose steps do what a test says; nothing is really run."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from kfp_api.server import KfpApiServer

from pipelines.training import TASKS

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
Tasks = list[dict[str, Any]]


def task(name: str, state: str, seconds: float = 10, **more: Any) -> dict[str, Any]:
    """KFP's account of one task; one that has not begun or not ended carries 1970, as the real server has it."""
    never = "1970-01-01T00:00:00Z"
    ended = state in ("SUCCEEDED", "FAILED", "SKIPPED")
    return {
        "display_name": name,
        "state": state,
        "start_time": START.isoformat() if state != "PENDING" else never,
        "end_time": (START + timedelta(seconds=seconds)).isoformat() if ended else never,
        **more,
    }


def work(name: str, state: str, executor: str | None = None, **more: Any) -> Tasks:
    """A task with its driver and the pod that does its work, as Argo's nodes appear in KFP's account."""
    pod = f"lesionflow-{name}-pod"
    return [
        task(f"{name}-driver", "SUCCEEDED"),
        task(name, state, child_tasks=[{"pod_name": pod}], **more),
        task("executor", executor or state, pod_name=pod),
    ]


def done(*but: str) -> Tasks:
    """Every task finished, except the named ones, which have not begun."""
    return [entry for name in TASKS if name not in but for entry in work(name, "SUCCEEDED")]


def play(api: KfpApiServer, *scenes: tuple[str, Tasks]) -> None:
    """Each time the run is asked for, it is one scene further; the last one stays."""
    left: Iterator[tuple[str, Tasks]] = iter(scenes)

    def advance() -> None:
        method, path, _ = api.requests[-1]
        if method == "GET" and "/runs/" in path and (scene := next(left, None)):
            for run_id in api.runs:
                api.set_run(run_id, *scene)

    api.after_request = advance


def lines_of(text: str) -> Sequence[Sequence[str]]:
    """The step lines of what a command showed, in words."""
    return [line.split() for line in text.splitlines() if line[:1] in "·▸✓↻✗" and line.strip()]
