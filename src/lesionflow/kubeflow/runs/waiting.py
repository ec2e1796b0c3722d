"""What Kubernetes says of a run's pods while the run is followed: why they wait, were lost, or were ended."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console

from lesionflow.errors import ClusterError, UserError
from lesionflow.kubeflow.runs.run_reader import RunReader
from lesionflow.kubeflow.runs.task_state import TASKS, RunState, TaskState

PERIOD = 30.0
"""Seconds between two questions why pods wait."""


class Notes:
    """Sentences beside the lines of the steps, each shown once."""

    def __init__(self, console: Console, verbose: bool) -> None:
        self._console, self._verbose = console, verbose
        self._told: set[str] = set()

    def tell(self, sentence: str, style: str = "yellow") -> None:
        """Show a sentence, unless it was shown before."""
        if sentence and sentence not in self._told:
            self._told.add(sentence)
            self._console.print(f"  {sentence}", style=style, markup=False, highlight=False, soft_wrap=True)

    def detail(self, sentence: str) -> None:
        """Show a sentence that only a patient reader wants."""
        if self._verbose:
            self.tell(sentence)


class Pods:
    """What is said of a run's pods. Nothing depends on it, and not everyone may ask."""

    def __init__(self, reader: RunReader, run_id: str, notes: Notes) -> None:
        self._reader, self._run_id, self._notes = reader, run_id, notes
        self._next = time.monotonic()

    def explain(self, run: RunState) -> None:
        """Tell of attempts that ended though their step goes on, and why pods are Pending."""
        for task in run.tasks:
            for sentence in _retried(task):
                self._notes.tell(sentence)
        if self._reader.kube is None or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PERIOD
        with self._tolerated():
            for sentence in self._reader.kube.why_pending(self._run_id):
                self._notes.tell(sentence)

    def ended(self) -> list[str]:
        """Sentences about pods that the cluster killed, evicted or never admitted; each begins with its step."""
        if self._reader.kube is None:
            return []
        with self._tolerated():
            return self._reader.kube.why_failed(self._run_id)
        return []

    @contextmanager
    def _tolerated(self) -> Generator[None]:
        try:
            yield
        except (UserError, ClusterError) as error:
            self._notes.detail(f"Why pods wait is not known: {error}")


def _retried(task: TaskState) -> list[str]:
    """What to say of the attempts before the last."""
    step = TASKS[task.name] + (f" of fold {task.fold + 1}" if task.fold is not None else "")
    said: list[str] = []
    for attempt in task.attempts[:-1]:
        how = "lost its pod" if attempt.lost else "failed"
        reason = f" ({attempt.reason.rstrip('. ')})" if attempt.reason else ""
        said.append(f"{step} {how}{reason} and goes on in another, attempt {attempt.number + 2}.")
    return said
