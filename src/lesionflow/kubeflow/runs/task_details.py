"""What KFP's API tells of a run's steps, for those who have no access to Kubernetes.

It is a copy of Argo's nodes without their names, messages, exit codes and pods, so a step's attempts, the fold they
belong to and the reason of a failure are not in it; and once the Workflow has passed 1 MB, it is no longer renewed.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from lesionflow.kubeflow.runs.task_state import FINISHED, TASKS, RunState, Status, TaskState

_STATUS: dict[str, Status] = {
    "PENDING": "waiting",
    "RUNNING": "running",
    "CANCELING": "running",
    "SUCCEEDED": "done",
    "FAILED": "failed",
    "CANCELED": "killed",
}
"""KFP's state of a task -> ours. A task that never came to its turn has none."""


def run_state(run: Any) -> RunState:
    """A run as KFP's API tells of it.

    Args:
        run: of `get_run`.
    """
    details: Sequence[Any] = (run.run_details.task_details if run.run_details else None) or []
    state = run.state or "PENDING"
    tasks = [_task(detail, details) for detail in details if detail.display_name in TASKS and detail.state]
    begun = {task.name for task in tasks}
    for detail in details:  # a step whose driver failed has no state of its own
        task = (detail.display_name or "").removesuffix("-driver")
        if detail.state == "FAILED" and task in TASKS and task != detail.display_name and task not in begun:
            tasks.append(TaskState(task, "failed", message="its driver failed"))
    return RunState(
        state=state,
        tasks=tasks,
        folds=0 if is_cross_validation(run) else None,  # only those that have begun are told
        # KFP says FAILED of a run that somebody stopped.
        stopped=any("CANCEL" in (then or "") for then in (state, *(past.state for past in run.state_history or []))),
        message=" ".join((run.error.message if run.error and run.error.message else "").split()),
        stale=state in FINISHED and any(d.display_name == "root" and d.state == "RUNNING" for d in details),
    )


def is_cross_validation(run: Any) -> bool:
    """Whether a run is of our cross-validation: a training cannot be without a registry, and the other has none."""
    given = parameters_of(run)
    return "source" in given and "registry" not in given


def parameters_of(run: Any) -> dict[str, Any]:
    """The parameters a run was given."""
    return cast(dict[str, Any], (run.runtime_config.parameters if run.runtime_config else None) or {})


def moment(value: datetime | None) -> datetime | None:
    """A time that KFP gave; None if it gave 1970 or the year 1, which mean "not yet"."""
    return value if value and value.year > 1970 else None


def _task(detail: Any, details: Sequence[Any]) -> TaskState:
    status = _STATUS.get(detail.state, "waiting")
    started, ended = moment(detail.start_time), moment(detail.end_time)
    # Executors have no names of their own; they begin in the same second as their task.
    executors = [
        other for other in details if (other.display_name or "").startswith("executor") and _began_with(other, detail)
    ]
    if status == "done" and started == ended and any(other.state == "SKIPPED" for other in executors):
        status = "reused"  # the result was found in the cache, so the pod that would have worked was skipped
    states = {other.state for other in executors if (other.display_name or "") != "executor"}
    if status == "running" and (not states or states == {"PENDING"}):
        status = "waiting"
    return TaskState(detail.display_name, status, started=started, ended=ended)


def _began_with(other: Any, task: Any) -> bool:
    began = moment(task.start_time)
    return began is not None and moment(other.start_time) == began
