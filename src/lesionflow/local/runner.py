"""Run a pipeline on this machine through kfp.local, watched, logged and interruptible."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from types import FrameType
from typing import Any

from kfp import local
from kfp.dsl.graph_component import GraphComponent

from lesionflow.compat.kfp_local import EndedTask, loops_given_outputs, loops_in_turn, tasks_told
from lesionflow.local.backend import SAVING, Backend, LocalRunner, RunPlace
from lesionflow.local.outcome import KFP_LOG
from lesionflow.local.workspace import RunLock, Workspace
from lesionflow.runtime.events import RunEvents, StepState, in_fold
from lesionflow.runtime.step import LOG_VARIABLE


class Interrupted(Exception):
    """The run was stopped by SIGINT or SIGTERM: `signal` is which, `events` what its tasks had said."""

    def __init__(self, number: int, events: RunEvents) -> None:
        super().__init__(f"Interrupted by {signal.Signals(number).name}.")
        self.signal = number
        self.events = events


@dataclass(frozen=True)
class LocalRun:
    """A pipeline to run on this machine."""

    pipeline: GraphComponent
    """Compiled, of lesionflow's components."""
    arguments: Mapping[str, Any]
    step_names: Mapping[str, str]
    """kfp's name of each task -> the step's name for users, in order."""
    steps: Sequence[str] | None = None
    """The names of all steps for users, in order, if those of a loop come once per fold (see `in_fold`); None for the
    values of `step_names`."""
    judges: str = ""
    """kfp's name of the task whose evaluation holds the verdict; empty if there is none."""
    cached: bool = True
    """Whether known results are reused."""


def run_pipeline(
    what: LocalRun,
    workspace: Workspace,
    run: Path,
    lock: RunLock,
    watch: Callable[[RunEvents], None],
    backend: Backend,
) -> RunEvents:
    """Run a pipeline, one task after the other.

    Args:
        what: the pipeline.
        workspace: holds the artifact store and the cache.
        run: this run's folder, from `workspace.new_run`.
        lock: the workspace's lock; a second interrupt frees it, on which the running task ends itself at once.
        watch: called about ten times a second, from another thread.
        backend: how tasks are run.

    Returns:
        What the tasks said; a failed step is among them, it raises nothing.

    Raises:
        Interrupted: after SIGINT or SIGTERM, when no task is left.
        UserError: the backend cannot run tasks here.
    """
    events = RunEvents(run / "progress", {name: StepState(name) for name in what.steps or what.step_names.values()})
    pipeline = backend.prepare(what.pipeline)
    with _prepared(what, RunPlace(workspace, run), backend, events) as stack:
        stack.enter_context(_watched(events, watch))
        interrupted = stack.enter_context(_interruptible(lock))
        try:
            pipeline(**what.arguments)
        except KeyboardInterrupt:
            pass
        finally:
            _outlive(events, backend, interrupted)
            shutil.rmtree(run / "tmp", ignore_errors=True)
    for state in events.steps.values():
        if state.status == "running":
            state.status = "killed"
            state.seconds = time.time() - state.started
    if not _is_judged(events):
        events.evaluation = None
    if interrupted:
        raise Interrupted(interrupted[0], events)
    return events


@contextmanager
def _prepared(what: LocalRun, place: RunPlace, backend: Backend, events: RunEvents) -> Generator[ExitStack]:
    """Have kfp.local run tasks as `backend` says, tell `events` of them, and write what it says to its log."""
    logs = place.folder / "logs"
    with ExitStack() as stack:
        runner = stack.enter_context(backend.runner(place, events))
        log = stack.enter_context((logs / KFP_LOG).open("a", encoding="utf-8", buffering=1))
        stack.enter_context(tasks_told(lambda name: _begin(events, name, what), lambda task: _take(events, task, what)))
        stack.enter_context(_folds_in_turn(events, logs, runner))
        local.init(
            runner=runner,
            pipeline_root=str(place.workspace.store),
            workspace_root=str(place.folder / "tmp" / "workspace"),  # kfp deletes it after the run
            raise_on_error=False,
            enable_caching=what.cached,
            cache_root=str(place.workspace.cache),
        )
        with redirect_stdout(log), redirect_stderr(log):
            yield stack


def _outlive(events: RunEvents, backend: Backend, interrupted: Sequence[int]) -> None:
    """Wait until no task is left."""
    events.update()
    if interrupted and (running := [name for name, state in events.steps.items() if state.status == "running"]):
        events.notice = (
            f"Interrupted: {', '.join(running)} may save where it stands, for {SAVING:g} s at most; "
            "Ctrl-C again ends it at once."
        )
    backend.outlive(events, (lambda: len(interrupted) > 1) if interrupted else None)


def _is_judged(events: RunEvents) -> bool:
    """Whether the gate let the model through or refused it; one that found the evaluation damaged did neither."""
    gate = events.steps.get("gate")
    return gate is not None and (gate.status in ("done", "reused") or gate.kind == "refused")


def _begin(events: RunEvents, name: str, what: LocalRun) -> None:
    """Note which step comes now; its process may end before it can say so itself."""
    if name in what.step_names:
        events.begin(what.step_names[name])


def _take(events: RunEvents, task: EndedTask, what: LocalRun) -> None:
    """Note what kfp tells of a task that succeeded."""
    if task.reused and task.name in what.step_names:
        events.reused(what.step_names[task.name])
    if task.name == what.judges:
        events.evaluation = task.outputs["evaluation"].path


@contextmanager
def _folds_in_turn(events: RunEvents, logs: Path, runner: LocalRunner) -> Generator[None]:
    """Have the folds run in turn, each with its logs in a folder of its own."""
    environment = os.environ if isinstance(runner, local.SubprocessRunner) else runner.container_run_args["environment"]

    def begin(fold: int, folds: int) -> None:
        folder = logs / f"fold-{fold}"
        folder.mkdir(exist_ok=True)
        environment[LOG_VARIABLE] = str(folder)
        events.enter(in_fold(fold, folds))

    def end() -> None:
        environment[LOG_VARIABLE] = str(logs)
        events.enter("")

    with loops_given_outputs(), loops_in_turn(begin, end):
        yield


@contextmanager
def _watched(events: RunEvents, watch: Callable[[RunEvents], None]) -> Generator[None]:
    """Call `watch` from a thread until the block ends, and once more then."""
    ended = Event()

    def follow() -> None:
        while not ended.wait(0.1):
            events.update()
            watch(events)

    thread = Thread(target=follow, name="progress-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        events.update()
        watch(events)


@contextmanager
def _interruptible(lock: RunLock) -> Generator[list[int]]:
    """Turn the first SIGINT or SIGTERM into KeyboardInterrupt, and any after it into the end of the running task.

    Yields a list that receives the signals' numbers.
    """
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) == 1:
            raise KeyboardInterrupt
        lock.release()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
