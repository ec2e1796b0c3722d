"""`lesionflow run`: the whole pipeline on this machine."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from pipelines.cluster import profile as cluster
from pipelines.display import RunDisplay
from pipelines.outcome import Outcome, judge_run
from pipelines.runners.backend import Backend
from pipelines.runners.local import Interrupted, run_pipeline
from pipelines.summary import print_summary, write_summary
from pipelines.training import TASKS, define_training_pipeline
from pipelines.workspace import Workspace


def run(arguments: Mapping[str, Any], workspace: Workspace, backend: Backend, console: Console, verbose: bool) -> int:
    """Run the training pipeline and show it.

    Args:
        arguments: of the pipeline.
        workspace: where everything is kept.
        backend: how tasks are run.
        console: where everything is shown.
        verbose: whether the tasks' raw output is shown too.

    Returns:
        The exit code: 0 passed, 1 a step failed, 2 bad input, 3 the gate refused, 128 + signal.

    Raises:
        UserError: the workspace is in use or cannot be written, or the backend cannot run tasks here.
    """
    started = time.time()
    with workspace.locked() as lock:
        folder = workspace.new_run()
        with RunDisplay(console, list(TASKS.values()), verbose) as display:
            try:
                events = run_pipeline(
                    define_training_pipeline(cluster.LOCAL),
                    arguments,
                    TASKS,
                    workspace,
                    folder,
                    lock,
                    display.watch,
                    backend,
                )
                outcome = judge_run(events, folder)
            except Interrupted as interrupt:
                events = interrupt.events
                outcome = Outcome("interrupted", str(interrupt), 128 + interrupt.signal)
        summary = write_summary(
            folder, events, outcome.status, outcome.error, time.time() - started, int(arguments["seed"])
        )
        workspace.show_latest(folder)
    print_summary(console, summary, folder)
    outcome.show(console, folder)
    return outcome.code
