"""Tasks as processes of this machine: kfp.local's SubprocessRunner."""

import copy
import os
import signal
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from kfp import local
from kfp.dsl.graph_component import GraphComponent

from lesionflow.compat.process import environment
from lesionflow.local.backend import SAVING, LocalRunner, RunPlace
from lesionflow.runtime import step_digest
from lesionflow.runtime.events import BEGUN, RunEvents

_GRACE = 10.0
"""Seconds that tasks get to disappear once they have said their last, or were killed."""


class ProcessBackend:
    """Runs each task as a process, with this Python and these packages."""

    def prepare(self, pipeline: GraphComponent) -> GraphComponent:
        """The same pipeline with each task's code digest in its environment, which kfp's cache key holds."""
        digested = copy.deepcopy(pipeline)
        for name, executor in digested.pipeline_spec.deployment_spec["executors"].items():
            if "container" in executor:
                step = name.removeprefix("exec-").rstrip("-0123456789")
                executor["container"].update(
                    {"env": [{"name": step_digest.VARIABLE, "value": step_digest.step_digest(step)}]}
                )
        return digested

    @contextmanager
    def runner(self, place: RunPlace, events: RunEvents) -> Generator[LocalRunner]:
        """A SubprocessRunner; its tasks inherit this process' environment."""
        with environment(place.task_environment):
            yield local.SubprocessRunner(use_venv=False)

    def outlive(self, events: RunEvents, at_once: Callable[[], bool] | None) -> None:
        """Wait for the tasks; after an interrupt, tell them to end, and then end what is left of their groups."""
        pids = [state.pid for state in events.steps.values() if state.pid and state.status in BEGUN]
        if at_once is None:
            _wait(pids, _GRACE, lambda: False)
            return
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)  # not its group: its children may be needed for what it has to save
        _wait(pids, SAVING, at_once)
        for pid in pids:
            with suppress(ProcessLookupError):  # nothing is left of it
                os.killpg(pid, signal.SIGKILL)
        _wait(pids, _GRACE, lambda: False)


def _wait(pids: Sequence[int], seconds: float, enough: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while any(map(_alive, pids)) and time.monotonic() < deadline and not enough():
        time.sleep(0.02)


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
