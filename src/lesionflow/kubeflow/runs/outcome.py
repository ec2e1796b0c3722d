"""How a run on the cluster ended, in the words and codes of a local run."""

import re
import signal
from collections.abc import Callable, Sequence

from lesionflow.errors import BAD_INPUT, FAILED, PASSED, REFUSED
from lesionflow.kubeflow.runs.task_state import TASKS, RunState, TaskState
from lesionflow.runtime.run_outcome import RunOutcome

_EXIT_STATUS = re.compile(r"exit status (\d+)")
"""What KFP's launcher writes of the step's process at the end of the log."""

_ENDED_FROM_OUTSIDE = 128 + signal.SIGTERM

ReadLog = Callable[[TaskState], Sequence[str]]
"""The lines that a step wrote; none if its log is out of reach."""


def cluster_outcome(run: RunState, read_log: ReadLog, disruptions: Sequence[str]) -> RunOutcome:
    """Tell a refused model from bad input from a broken step, which KFP calls FAILED all three.

    A step's last words are asked for in its pod's status. Where they are not known (from images that leave none, and
    through KFP's API), why a step broke is looked for in its log; whether the gate refused never is.

    Args:
        run: as it ended.
        read_log: of one task.
        disruptions: sentences about pods that the cluster ended or never admitted; each begins with its step.
    """
    if run.state == "SUCCEEDED":
        return RunOutcome("passed", "", PASSED)
    if run.stopped:
        return RunOutcome("failed", "The run was stopped.", FAILED)
    task = _first_failure(run)
    if task is None:
        reason = "; ".join(disruptions) or " ".join(run.message.split()) or "no step of it did"
        return RunOutcome("failed", f"The run failed: {reason.rstrip('. ')}.", FAILED)
    name = TASKS[task.name]
    if ended := next((sentence for sentence in disruptions if sentence.startswith(f"{name} ")), None):
        return RunOutcome("failed", f"The step {ended}", FAILED)
    sentence, status = _last_words(task, name, read_log)
    if status == BAD_INPUT and sentence:
        return RunOutcome("failed", sentence, BAD_INPUT)
    if task.name == "gate" and run.refused:
        return RunOutcome("refused", sentence or "The gate refused the model; its log says why.", REFUSED)
    where = f" of fold {task.fold + 1}" if task.fold is not None else ""
    if status == _ENDED_FROM_OUTSIDE:
        return RunOutcome("failed", f"The step {name}{where} {_ended(name)}", FAILED)
    reason = " ".join((sentence or task.message).split()) or "its log says why"
    return RunOutcome("failed", f"The step {name}{where} failed: {reason.rstrip('. ')}.", FAILED)


def _ended(name: str) -> str:
    """What to say of a step whose pod was deleted with time to end, as an eviction or a spot node's shutdown does.

    Argo counts its exit code as a failure of the step, which KFP's own settings (`retryPolicy: OnError`) do not retry.
    """
    again = "goes on at its checkpoint if --checkpoints was given" if name.startswith("finetune") else "tries it again"
    return (
        "was ended from outside (its pod was deleted or evicted, or its node shut down) and Kubeflow did not start it "
        f"again; the same submission {again}."
    )


def _first_failure(run: RunState) -> TaskState | None:
    failed = [task for task in run.tasks if task.status in ("failed", "killed")]
    order = list(run.names)
    return min(
        failed,
        key=lambda task: (
            task.ended is None,
            task.ended.timestamp() if task.ended else 0.0,
            order.index(task.name) if task.name in order else len(order),
        ),
        default=None,
    )


def _last_words(task: TaskState, name: str, read_log: ReadLog) -> tuple[str, int | None]:
    """The sentence with which a step ended and its exit status, as far as they can be had."""
    if task.attempts and (status := task.attempts[-1].exit_status) is not None:
        return task.attempts[-1].sentence, status
    if task.name == "gate":
        return "", None
    lines = read_log(task)
    said = [line.split(f"{name}: ", 1)[1].strip() for line in lines if line.startswith(f"{name}: ")]
    statuses = [int(found[1]) for line in lines if (found := _EXIT_STATUS.search(line))]
    return (said[-1] if said else ""), (statuses[-1] if statuses else None)
