"""`lesionflow run`: the whole pipeline on this machine."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from lesionflow import profile as cluster
from lesionflow.local.backend import Backend
from lesionflow.local.outcome import outcome_of, show_outcome
from lesionflow.local.runner import Interrupted, LocalRun, run_pipeline
from lesionflow.local.summary import print_summary, write_summary
from lesionflow.local.workspace import Workspace
from lesionflow.pipelines import cross_validation, training
from lesionflow.runtime.run_display import RunDisplay
from lesionflow.runtime.run_outcome import RunOutcome


def run(
    arguments: Mapping[str, Any],
    workspace: Workspace,
    backend: Backend,
    console: Console,
    verbose: bool,
    folds: int | None = None,
) -> int:
    """Run the training pipeline, or the cross-validation pipeline, and show it.

    Args:
        arguments: of the pipeline.
        workspace: where everything is kept.
        backend: how tasks are run.
        console: where everything is shown.
        verbose: whether the tasks' raw output is shown too.
        folds: of a cross-validation; None to train one model.

    Returns:
        The exit code: 0 passed, 1 a step failed, 2 bad input, 3 the gate refused, 128 + signal.

    Raises:
        UserError: the workspace is in use or cannot be written, or the backend cannot run tasks here.
    """
    started = time.time()
    what = _training(arguments) if folds is None else _cross_validation(arguments, folds)
    with workspace.locked() as lock:
        folder = workspace.new_run()
        with RunDisplay(console, list(what.steps or what.step_names.values()), verbose) as display:
            try:
                events = run_pipeline(what, workspace, folder, lock, display.watch, backend)
                outcome = outcome_of(events, folder)
            except Interrupted as interrupt:
                events = interrupt.events
                outcome = RunOutcome("interrupted", str(interrupt), 128 + interrupt.signal)
        summary = write_summary(
            folder, events, outcome.status, outcome.error, time.time() - started, int(arguments["seed"])
        )
        workspace.show_latest(folder)
    print_summary(console, summary, folder)
    show_outcome(outcome, console, folder)
    return outcome.code


def _training(arguments: Mapping[str, Any]) -> LocalRun:
    pipeline = training.define_training_pipeline(cluster.LOCAL)
    return LocalRun(pipeline, arguments, training.TASKS, judges=training.JUDGES)


def _cross_validation(arguments: Mapping[str, Any], folds: int) -> LocalRun:
    pipeline = cross_validation.define_cross_validation_pipeline(cluster.LOCAL, folds)
    steps = cross_validation.steps_of(folds)
    return LocalRun(pipeline, arguments, cross_validation.TASKS, steps, cross_validation.JUDGES)
