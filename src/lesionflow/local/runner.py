"""Run a pipeline on this machine through kfp.local, watched, logged and interruptible."""

import logging
import os
import shutil
import signal
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from threading import Event, Thread
from types import FrameType
from typing import Any

from kfp import local
from kfp.dsl.graph_component import GraphComponent
from kfp.local.orchestrator import enhanced_dag_orchestrator as orchestrator
from kfp.local.status import Status

from lesionflow.local.backend import SAVING, Backend, LocalRunner, RunPlace
from lesionflow.local.workspace import RunLock, Workspace
from lesionflow.runtime.events import RunEvents, StepState, in_fold
from lesionflow.runtime.run_outcome import KFP_LOG
from lesionflow.runtime.step import LOG_VARIABLE

_CACHE_HIT = "cache hit"


class Interrupted(Exception):
    """The run was stopped by SIGINT or SIGTERM: `signal` is which, `events` what its tasks had said."""

    def __init__(self, number: int, events: RunEvents) -> None:
        super().__init__(f"Interrupted by {signal.Signals(number).name}.")
        self.signal = number
        self.events = events


def run_pipeline(
    pipeline: GraphComponent,
    arguments: Mapping[str, Any],
    step_names: Mapping[str, str],
    workspace: Workspace,
    run: Path,
    lock: RunLock,
    watch: Callable[[RunEvents], None],
    backend: Backend,
    cached: bool = True,
    steps: Sequence[str] | None = None,
) -> RunEvents:
    """Run `pipeline` with `arguments`, one task after the other.

    Args:
        pipeline: a compiled pipeline whose components are lesionflow's.
        arguments: its parameters.
        step_names: kfp's name of each task -> the step's name for users, in order.
        workspace: holds the artifact store and the cache.
        run: this run's folder, from `workspace.new_run`.
        lock: the workspace's lock; a second interrupt frees it, on which the running task ends itself at once.
        watch: called about ten times a second, from another thread.
        backend: how tasks are run.
        cached: whether known results are reused.
        steps: the names of all steps for users, in order, if those of a loop come once per fold (see `in_fold`);
            None for the values of `step_names`.

    Returns:
        What the tasks said; a failed step is among them, it raises nothing.

    Raises:
        Interrupted: after SIGINT or SIGTERM, when no task is left.
        UserError: the backend cannot run tasks here.
    """
    events = RunEvents(run / "progress", {name: StepState(name) for name in steps or step_names.values()})
    pipeline = backend.prepare(pipeline)
    with ExitStack() as stack:
        runner = stack.enter_context(backend.runner(RunPlace(workspace, run), events))
        log = stack.enter_context((run / "logs" / KFP_LOG).open("a", encoding="utf-8", buffering=1))
        stack.enter_context(_reuse_noted(events, step_names))
        stack.enter_context(_one_fold_after_the_other(events, run / "logs", runner))
        stack.enter_context(_watched(events, watch))
        interrupted = stack.enter_context(_interruptible(lock))
        stack.enter_context(redirect_stdout(log))
        stack.enter_context(redirect_stderr(log))
        local.init(
            runner=runner,
            pipeline_root=str(workspace.store),
            workspace_root=str(run / "tmp" / "workspace"),  # kfp deletes it after the run
            raise_on_error=False,
            enable_caching=cached,
            cache_root=str(workspace.cache),
        )
        try:
            pipeline(**arguments)
        except KeyboardInterrupt:
            pass
        finally:
            events.update()
            if interrupted and (running := [name for name, state in events.steps.items() if state.status == "running"]):
                events.notice = (
                    f"Interrupted: {', '.join(running)} may save where it stands, for {SAVING:g} s at most; "
                    "Ctrl-C again ends it at once."
                )
            backend.outlive(events, (lambda: len(interrupted) > 1) if interrupted else None)
            shutil.rmtree(run / "tmp", ignore_errors=True)
    for state in events.steps.values():
        if state.status == "running":
            state.status = "killed"
            state.seconds = time.time() - state.started
    if interrupted:
        raise Interrupted(interrupted[0], events)
    return events


@contextmanager
def _reuse_noted(events: RunEvents, step_names: Mapping[str, str]) -> Generator[None]:
    """Learn of cache hits, which kfp.local tells only to the root logger, at level INFO."""

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            words = record.getMessage().split()
            if _CACHE_HIT in record.getMessage() and words[1] in step_names:
                events.reused(step_names[words[1]])

    root, listener = logging.getLogger(), Listener()
    level = root.level
    root.addHandler(listener)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(listener)
        root.setLevel(level)


@contextmanager
def _one_fold_after_the_other(events: RunEvents, logs: Path, runner: LocalRunner) -> Generator[None]:
    """Have a loop's iterations run here, in turn, each with its logs in a folder of its own.

    kfp.local gives them to a pool of threads, also with parallelism 1, which goes through all folds that are left,
    hours of work, after one has failed or the run was interrupted. And of two at a time nobody could tell
    whose cache hit a log record is.
    """
    environment = os.environ if isinstance(runner, local.SubprocessRunner) else runner.container_run_args["environment"]

    def execute(_: object, tasks: Sequence[tuple[str, Any]], parallelism_limit: int = 0, **options: Any) -> Any:
        outputs: dict[str, Any] = {}
        for fold, (name, task) in enumerate(tasks, start=1):
            folder = logs / f"fold-{fold}"
            folder.mkdir(exist_ok=True)
            environment[LOG_VARIABLE] = str(folder)
            events.enter(in_fold(fold, len(tasks)))
            outputs[name], status = orchestrator.execute_task(task_name=name, task_spec=task, **options)
            if status is not Status.SUCCESS:
                options["fail_stack"].append(name)
                return {}, status
            for key, value in outputs[name].items():
                options["io_store"].put_task_output(name, key, value)
        environment[LOG_VARIABLE] = str(logs)
        events.enter("")
        return outputs, Status.SUCCESS

    executor: Any = orchestrator.ParallelExecutor
    kfps_own = executor.execute_parallel_tasks
    executor.execute_parallel_tasks = execute
    try:
        yield
    finally:
        executor.execute_parallel_tasks = kfps_own


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
