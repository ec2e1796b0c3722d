"""Run a pipeline on this machine through kfp.local, watched, logged and interruptible."""

import copy
import logging
import os
import shutil
import signal
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from threading import Event, Thread
from types import FrameType
from typing import Any

from kfp import local
from kfp.dsl.graph_component import GraphComponent

from components.common import progress, step
from pipelines import code_digest
from pipelines.runners.events import RunEvents, StepState
from pipelines.workspace import RunLock, Workspace

KFP_LOG = "kfp.log"
_CACHE_HIT = "cache hit"
_GRACE = 10.0
"""Seconds that interrupted tasks get to disappear."""


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
    cached: bool = True,
) -> RunEvents:
    """Run `pipeline` with `arguments`, one task after the other.

    Args:
        pipeline: a compiled pipeline whose components are lesionflow's.
        arguments: its parameters.
        step_names: kfp's name of each task -> the step's name for users, in order.
        workspace: holds the artifact store and the cache.
        run: this run's folder, from `workspace.new_run`.
        lock: the workspace's lock; an interrupt frees it, on which the running task ends itself.
        watch: called about ten times a second, from another thread.
        cached: whether known results are reused.

    Returns:
        What the tasks said; a failed step is among them, it raises nothing.

    Raises:
        Interrupted: after SIGINT or SIGTERM, when no task is left.
    """
    events = RunEvents(run / "progress", {name: StepState(name) for name in step_names.values()})
    pipeline = _with_digests(pipeline)
    with ExitStack() as stack:
        stack.enter_context(_environment(workspace, run))
        log = stack.enter_context((run / "logs" / KFP_LOG).open("a", encoding="utf-8", buffering=1))
        stack.enter_context(_reuse_noted(events, step_names))
        stack.enter_context(_watched(events, watch))
        interrupted = stack.enter_context(_interruptible(lock))
        stack.enter_context(redirect_stdout(log))
        stack.enter_context(redirect_stderr(log))
        local.init(
            runner=local.SubprocessRunner(use_venv=False),
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
            _outlive(events, kill=bool(interrupted))
            shutil.rmtree(run / "tmp", ignore_errors=True)
    for state in events.steps.values():
        if state.status == "running":
            state.status = "killed"
            state.seconds = time.time() - state.started
    if interrupted:
        raise Interrupted(interrupted[0], events)
    return events


def _with_digests(pipeline: GraphComponent) -> GraphComponent:
    """The same pipeline with each task's code digest in its environment, which kfp's cache key holds."""
    digested = copy.deepcopy(pipeline)
    for name, executor in digested.pipeline_spec.deployment_spec["executors"].items():
        if "container" in executor:
            room = name.removeprefix("exec-").rstrip("-0123456789")
            executor["container"].update(
                {"env": [{"name": code_digest.VARIABLE, "value": code_digest.step_digest(room)}]}
            )
    return digested


@contextmanager
def _environment(workspace: Workspace, run: Path) -> Generator[None]:
    """What every task finds in its environment, for the time of the run."""
    settings = {
        progress.FOLDER_VARIABLE: str(run / "progress"),
        step.LOG_VARIABLE: str(run / "logs"),
        step.LOCK_VARIABLE: str(workspace.lock_file),
        "PYTHONSAFEPATH": "1",  # else a `components` folder where the user stands would shadow ours
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(run / "tmp"),  # kfp leaves a folder per task behind
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


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
    """Turn SIGINT and SIGTERM into the end of the running task, then into KeyboardInterrupt.

    Yields a list that receives the signal's number. The task must die first: kfp waits for it.
    """
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if not received:
            received.append(number)
            lock.release()
            raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _outlive(events: RunEvents, kill: bool) -> None:
    """Wait until no task that ever started is left; after an interrupt, kill those that linger."""
    deadline = time.monotonic() + _GRACE
    for state in events.steps.values():
        if state.pid is None or state.status not in ("running", "failed"):
            continue
        while _alive(state.pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        if kill and _alive(state.pid):
            with suppress(ProcessLookupError):  # it went in this instant
                os.killpg(state.pid, signal.SIGKILL)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An unreaped child of someone else still answers; only its state tells.
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return Path("/proc").is_dir() is False
