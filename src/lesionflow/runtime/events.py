"""What the tasks of a run have said so far, read from their progress files."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from lesionflow.runtime.metric_text import format_metric

Event = dict[str, Any]

BEGUN = ("running", "failed", "stopped")
"""Statuses of steps whose process may be there."""


def in_fold(fold: int, folds: int) -> str:
    """What precedes the names of the steps of a fold, counted from 1."""
    return f"fold {fold}/{folds} "


@dataclass
class StepState:
    """One step as its watcher sees it."""

    name: str
    status: str = "waiting"
    """waiting, running, done, reused, failed (it said why), stopped (it was told to, and saved where it stands) or
    killed (it said nothing)."""
    started: float = 0.0
    """Unix time."""
    seconds: float = 0.0
    """The step's own work, without the start of its process; not a number if it is not known."""
    pid: int | None = None
    headline: str = ""
    """What matters, in a few words."""
    done: int = 0
    total: int = 0
    kind: str = ""
    """Kind of a failure: user, refused, preempted or crash."""
    message: str = ""


@dataclass
class RunEvents:
    """Follows a progress folder; call `update` as often as you like."""

    folder: Path
    steps: dict[str, StepState]
    evaluation: str | None = None
    """Path of the evaluation whose verdict the gate enforces; in the end, None unless the gate did."""
    version: str | None = None
    """URI of the version that is the champion now."""
    published: str | None = None
    """URI of the version that was published and is not the champion, as a better one is."""
    reason: str = ""
    """Why the champion changed, or stayed."""
    notice: str = ""
    """What a person should know about the run as a whole now."""
    current: str = ""
    """Name of the step that `begin` noted last."""
    _within: str = ""
    _lock: Lock = field(default_factory=Lock)
    _offsets: dict[Path, int] = field(default_factory=dict[Path, int])
    _running: dict[Path, StepState] = field(default_factory=dict[Path, StepState])

    def update(self) -> None:
        """Read what was written since the last call."""
        with self._lock:
            self._read()

    def _read(self) -> None:
        for file in sorted(self.folder.glob("*.jsonl")):
            with file.open("rb") as stream:
                stream.seek(self._offsets.get(file, 0))
                text = stream.read()
            whole = text[: text.rfind(b"\n") + 1]  # a line may be half written
            self._offsets[file] = self._offsets.get(file, 0) + len(whole)
            for line in whole.splitlines():
                self._take(file, json.loads(line))

    def enter(self, within: str) -> None:
        """Note that the tasks which start from now on are of the fold that `in_fold` calls this; "" for of none."""
        with self._lock:
            self._read()  # what was said before was said by others
            self._within = within

    def begin(self, step: str) -> None:
        """Note that a step comes now, before it says so itself: of steps that wait for nothing any may be the first."""
        self.current = self._within + step

    def died(self, step: str, reason: str) -> None:
        """Note why a step's task ended; what the step itself said of its end is kept."""
        self.update()
        with self._lock:
            state = self.steps[step]
            if state.status in ("failed", "stopped"):
                state.message += f" ({reason})" if state.kind == "crash" else ""
                return
            state.seconds = state.seconds or (time.time() - state.started if state.started else 0.0)
            state.status, state.kind, state.message = "failed", "crash", reason

    def reused(self, step: str) -> None:
        """Note that a step was not run because its result was known."""
        self.steps[self._within + step].status = "reused"

    def _take(self, file: Path, event: Event) -> None:
        match event["event"]:
            case "started":
                self._running[file] = self.steps[self._within + event["step"]]
            case "promoted":
                self.version, self.reason = event["version"], event["reason"]
            case "published":
                self.published, self.reason = event["version"], event["reason"]
            case _:
                pass
        _advance(self._running[file], event)


def _advance(step: StepState, event: Event) -> None:
    match event["event"]:
        case "started":
            step.status, step.started, step.pid = "running", event["time"], event["pid"]
        case "progress":
            step.done, step.total = event["done"], event["total"]
        case "epoch":
            step.headline = (
                f"epoch {event['epoch']}/{event['epochs']}, loss {format_metric(event['loss'])}, "
                f"validation macro-F1 {format_metric(event['val_macro_f1'])}"
            )
        case "headline":
            step.headline = event["text"]
        case "finished":
            step.status, step.seconds = "done", event["seconds"]
        case "failed":
            step.status, step.kind, step.message = "failed", event["kind"], event["message"]
            if event["kind"] == "preempted":
                step.status, step.headline = "stopped", event["message"]
            step.seconds = event["time"] - step.started
        case _:
            pass
