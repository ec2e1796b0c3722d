"""The life of one task: its log, its progress, its errors, and its end when its runner has gone.

Every adapter makes exactly one call, through `run_step`. On a cluster the environment variables
below are unset and only the error handling applies.
"""

import fcntl
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import ParamSpec, TypeVar

from lesionflow.compat.process import collect_garbage_rarely, skip_last_collection, write_output_to
from lesionflow.errors import BAD_INPUT, REFUSED, GateRefused, Preempted, UserError
from lesionflow.runtime.last_words import Kind, leave_last_words
from lesionflow.runtime.progress import report

LOG_VARIABLE = "LESIONFLOW_LOGS"
"""Folder for each task's raw output, one file per step."""

LOCK_VARIABLE = "LESIONFLOW_RUN_LOCK"
"""File that the runner keeps locked for as long as it lives."""

P = ParamSpec("P")
T = TypeVar("T")


def run_step(step: str, action: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a step's logic as a task: `action(*args, **kwargs)`.

    Args:
        step: the name shown to users; for a fine-tune task `finetune-<phase>`.
        action: the step's logic.

    Raises:
        SystemExit: code 2 after a UserError, code 3 after a GateRefused, code 143 after a Preempted;
            their sentence goes to the log, to the progress file and to the pod's status, without a traceback.
    """
    if folder := os.environ.get(LOG_VARIABLE):
        write_output_to(Path(folder, f"{step}.log"))
    _end_with_runner()
    _heed_sigterm()
    collect_garbage_rarely()
    started = time.monotonic()
    report("started", step=step, pid=os.getpid())
    try:
        result = action(*args, **kwargs)
    except GateRefused as error:
        raise _ended(step, "refused", error, REFUSED) from None
    except UserError as error:
        raise _ended(step, "user", error, BAD_INPUT) from None
    except Preempted as error:
        raise _ended(step, "preempted", error, 128 + signal.SIGTERM) from None
    except BaseException as error:
        traceback.print_exc()  # into the log: kfp's own print would come after the report
        report("failed", step=step, kind="crash", message=f"{type(error).__name__}: {error}")
        leave_last_words(step, "crash", f"{type(error).__name__}: {error}", 1)
        raise
    finally:
        skip_last_collection()
    report("finished", step=step, seconds=time.monotonic() - started)
    return result


def _ended(step: str, kind: Kind, error: Exception, status: int) -> SystemExit:
    """Say why a step ends, wherever somebody looks for it; return what ends its process."""
    report("failed", step=step, kind=kind, message=str(error))
    print(f"{step}: {error}", file=sys.stderr)
    leave_last_words(step, kind, str(error), status)
    return SystemExit(status)


def _heed_sigterm() -> None:
    """Let SIGTERM end the first process of a container, which else is deaf to it, as it ends any other."""

    def end(number: int, frame: FrameType | None) -> None:
        os._exit(128 + number)

    if os.getpid() == 1 and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, end)


def _end_with_runner() -> None:
    """Kill this task and its children as soon as nobody holds the runner's lock.

    kfp.local leaves the running task alive when its parent dies, however it dies. A lock is free
    the moment its holder is gone, so a thread that waits for it needs no polling and cannot be late.
    """
    path = os.environ.get(LOCK_VARIABLE)
    if not path:
        return
    if os.getpgrp() != os.getpid():  # the first process of a container leads a group already
        os.setpgid(0, 0)  # so that the kill below reaches our children and nobody else
    lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def wait() -> None:
        fcntl.flock(lock, fcntl.LOCK_SH)
        os.killpg(0, signal.SIGKILL)
        os._exit(137)  # a container's first process is deaf to signals from within

    threading.Thread(target=wait, name="runner-watch", daemon=True).start()
