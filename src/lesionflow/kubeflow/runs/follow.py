"""Follow a run on the cluster step by step, and say how it ended in the words and codes of a local run."""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import kfp
from rich.console import Console
from rich.markup import escape

from lesionflow.errors import ClusterError, UserError
from lesionflow.kubeflow.client.settings import ClusterSettings
from lesionflow.kubeflow.client.transport import Refused
from lesionflow.kubeflow.runs.logs import Logs
from lesionflow.kubeflow.runs.outcome import cluster_outcome
from lesionflow.kubeflow.runs.run_reader import RunReader
from lesionflow.kubeflow.runs.task_state import FINISHED, TASKS, RunState, TaskState, new_run
from lesionflow.kubeflow.runs.waiting import Notes, Pods
from lesionflow.runtime.events import RunEvents
from lesionflow.runtime.run_display import RunDisplay
from lesionflow.runtime.run_outcome import RunOutcome

PERIOD = 5.0
"""Seconds between two looks at the run."""
TICK = 0.25
"""Seconds between two changes of the clock that is shown."""
PATIENCE = 600.0
"""Seconds for which the API may be away before following ends; the run itself goes on."""


def follow(
    client: kfp.Client,
    settings: ClusterSettings,
    run_id: str,
    console: Console,
    verbose: bool,
    folds: int | None = None,
    registry: str = "",
) -> int:
    """Show a run until it ends.

    Args:
        client: of `connect`.
        settings: the same.
        run_id: KFP's id of the run.
        console: where it is shown.
        verbose: whether to say why nothing is known of waiting pods.
        folds: of a cross-validation; None for a training.
        registry: where a model that passes goes; empty for a cross-validation.

    Returns:
        The exit code: 0 passed, 1 a step failed, 2 bad input, 3 the gate refused.

    Raises:
        UserError: the API refuses what it allowed before.
        ClusterError: the API stayed away for `PATIENCE`.
    """
    reader, notes = RunReader(client, settings), Notes(console, verbose)
    pods = Pods(reader, run_id, notes)
    state = new_run(folds)
    events = RunEvents(Path(), state.steps())
    with RunDisplay(console, list(events.steps), verbose=False) as display:
        for state in _looks(reader, run_id, folds, lambda: display.watch(events)):
            notes.tell(reader.lacks)
            events.steps = state.steps()
            pods.explain(state)
            display.watch(events)
    outcome = cluster_outcome(state, lambda task: _log_of(client, reader, run_id, task), pods.ended())
    _show(outcome, run_id, registry, console)
    return outcome.code


def _looks(reader: RunReader, run_id: str, folds: int | None, tick: Callable[[], None]) -> Generator[RunState]:
    """Look at a run every `PERIOD`, until it has ended; call `tick` every `TICK` between.

    Raises:
        UserError, ClusterError: of `follow`.
    """
    heard = time.monotonic()
    while True:
        try:
            state = reader.look(run_id)
        except (ClusterError, Refused) as error:
            away = isinstance(error, ClusterError) or error.status == 0
            if not away or time.monotonic() - heard > PATIENCE:
                raise
        else:
            heard = time.monotonic()
            # Until the cluster has counted the folds.
            yield replace(state, folds=folds) if folds is not None and not state.folds else state
            if state.state in FINISHED:
                return
        until = time.monotonic() + PERIOD
        while time.monotonic() < until:
            time.sleep(TICK)
            tick()


def _log_of(client: kfp.Client, reader: RunReader, run_id: str, task: TaskState) -> Sequence[str]:
    """The lines that a task wrote; none if they are out of reach."""
    try:
        run: Any = client.get_run(run_id)
        return list(Logs(client, reader).lines(run, TASKS[task.name], fold=task.fold))
    except (UserError, ClusterError):
        return []


def _show(outcome: RunOutcome, run_id: str, registry: str, console: Console) -> None:
    if outcome.status == "passed":
        text = f"[bold green]Passed:[/] the gate let the model through; it is in {escape(registry)}"
        if not registry:
            text = "[bold green]Passed:[/] the gate let the method through; a cross-validation promotes nothing."
    elif outcome.status == "refused":
        text = f"[bold red]Refused:[/] {escape(outcome.error)} Nothing was promoted."
    else:
        text = f"[bold red]Failed:[/] {escape(outcome.error)}\nLogs:     lesionflow logs {escape(run_id)}"
    console.print(text, highlight=False, soft_wrap=True)
