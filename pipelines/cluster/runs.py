"""Runs on the cluster: finding one, and reading its state as a local run's would read."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import kfp

from components.common.errors import UserError
from pipelines import cross_validation, training
from pipelines.cluster.transport import Refused
from pipelines.runners.events import StepState

TASKS = training.TASKS | cross_validation.TASKS
"""kfp's name of each task of either pipeline -> the step's name for users."""

FINISHED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
_STATUS = {
    "RUNNING": "running",
    "CANCELING": "running",
    "SUCCEEDED": "done",
    "FAILED": "failed",
    "CANCELED": "killed",
}
"""KFP's state of a task -> ours; anything else waits."""


def where_equal(field: str, value: str, operation: str = "EQUALS") -> str:
    """A filter for KFP's lists."""
    return json.dumps({"predicates": [{"operation": operation, "key": field, "stringValue": value}]})


def find_experiment(client: kfp.Client, name: str) -> Any | None:
    """The experiment of that name, if there is one."""
    found = client.list_experiments(filter=where_equal("display_name", name)).experiments
    return found[0] if found else None


def newest_runs(client: kfp.Client, experiment: str, limit: int) -> Sequence[Any]:
    """Runs of an experiment, newest first.

    Raises:
        UserError: there is no such experiment.
    """
    found = find_experiment(client, experiment)
    if found is None:
        raise UserError(f"There is no experiment {experiment!r} yet; submit a run, or name another with --experiment.")
    runs: list[Any] = []
    token = ""
    while len(runs) < limit:
        page = client.list_runs(
            page_token=token,
            page_size=min(limit - len(runs), 100),
            sort_by="created_at desc",
            experiment_id=found.experiment_id,
        )
        runs += page.runs or []
        token = page.next_page_token or ""
        if not token:
            break
    return runs


def find_run(client: kfp.Client, which: str | None, experiment: str) -> Any:
    """The run that a person means.

    Args:
        client: of `connect`.
        which: its id, the beginning of its id, or its name; None for the newest of the experiment.
        experiment: that experiment's name.

    Raises:
        UserError: there is no such run, or there are several.
    """
    if which is None:
        newest = newest_runs(client, experiment, 1)
        if not newest:
            raise UserError(f"There is no run in the experiment {experiment!r} yet.")
        return client.get_run(newest[0].run_id)
    if len(which) == 36:
        try:
            return client.get_run(which)
        except Refused as error:
            if error.status != 404:
                raise
    named = client.list_runs(filter=where_equal("display_name", which), page_size=10).runs or []
    containing = client.list_runs(filter=where_equal("run_id", which, "IS_SUBSTRING"), page_size=100).runs or []
    found = named or [run for run in containing if run.run_id.startswith(which)]
    if not found:
        raise UserError(f"There is no run {which!r}; give its id, the beginning of its id, or its name.")
    if len(found) > 1:
        some = ", ".join(run.run_id[:13] for run in found[:3])
        raise UserError(f"{which!r} means {len(found)} runs ({some} and so on); give more of the id.")
    return client.get_run(found[0].run_id)


def task_details(run: Any) -> Mapping[str, Any]:
    """KFP's account of each of our tasks that has begun, by kfp's name of it."""
    details = run.run_details.task_details if run.run_details else None
    return {detail.display_name: detail for detail in details or [] if detail.display_name in TASKS}


def steps_of(run: Any) -> dict[str, StepState]:
    """Every step of a run, in order, by the name that users know; one that runs once per fold as a whole."""
    details: Sequence[Any] = (run.run_details.task_details if run.run_details else None) or []
    by_pod = {detail.pod_name: detail for detail in details if detail.pod_name}
    folded = any((detail.display_name or "").startswith("for-loop-") for detail in details)
    names = cross_validation.TASKS if folded else training.TASKS
    steps: dict[str, StepState] = {}
    for task, name in names.items():
        found = [detail for detail in details if detail.display_name == task]
        states = [_read(name, detail, _children(detail, by_pod)) for detail in found]
        in_loop = folded and task in cross_validation.EACH_FOLD
        steps[name] = _of_folds(name, states) if in_loop else states[-1] if states else StepState(name)
    _reuse_skipped(steps, names, task_details(run))
    if folded and steps["pool"].status == "waiting" and run.state not in FINISHED:
        for name in cross_validation.EACH_FOLD.values():
            if steps[name].status in ("done", "reused"):  # in the folds that have come so far
                steps[name].status = "running"
    return steps


def _of_folds(name: str, states: Sequence[StepState]) -> StepState:
    """A step of several folds as one: as bad as the worst of them."""
    if not states:
        return StepState(name)
    order = ("failed", "killed", "running", "waiting", "done", "reused")
    worst = min(states, key=lambda state: order.index(state.status))
    done = sum(state.status in ("done", "reused") for state in states)
    return StepState(
        name,
        worst.status,
        started=min(state.started for state in states),
        seconds=sum(state.seconds for state in states),
        figure=f"done in {done} folds",
        message=worst.message,
    )


def _children(task: Any, by_pod: Mapping[str, Any]) -> list[Any]:
    return [by_pod[child.pod_name] for child in task.child_tasks or [] if child.pod_name in by_pod]


def _read(name: str, task: Any, children: Sequence[Any]) -> StepState:
    step = StepState(name)
    step.status = _STATUS.get(task.state or "", "waiting")
    started, ended = moment(task.start_time), moment(task.end_time)
    step.started = started.timestamp() if started else datetime.now(UTC).timestamp()
    if started and ended:
        step.seconds = max(0.0, (ended - started).total_seconds())
    # The driver found the result in the cache, so the pod that would have done the work was skipped.
    if step.status == "done" and children and all(child.state == "SKIPPED" for child in children):
        step.status = "reused"
    if step.status == "running" and children and all(child.state == "PENDING" for child in children):
        step.status = "waiting"
    messages = [detail.error.message for detail in (task, *children) if detail.error and detail.error.message]
    step.message = " ".join(messages[0].split()) if messages else ""
    return step


def _reuse_skipped(steps: Mapping[str, StepState], names: Mapping[str, str], tasks: Mapping[str, Any]) -> None:
    """A task skipped before one that worked was reused; after a failed one it never came to its turn."""
    works = False
    for task, name in reversed(list(names.items())):
        if task in tasks and tasks[task].state == "SKIPPED" and works:
            steps[name].status = "reused"
        works = works or steps[name].status in ("done", "reused", "running", "failed")


def refused(steps: Mapping[str, StepState]) -> bool:
    """Whether the gate failed on figures that are there, which is how a refusal looks from outside."""
    judged = steps.get("pool") or steps["evaluate"]
    return steps["gate"].status == "failed" and judged.status in ("done", "reused")


def verdict(client: kfp.Client, run: Any) -> str:
    """passed, refused, or nothing if the gate did not come to speak."""
    if run.state == "SUCCEEDED":
        return "passed"
    if run.state != "FAILED":
        return ""
    if not task_details(run):  # lists leave them out
        run = client.get_run(run.run_id)
    return "refused" if refused(steps_of(run)) else ""


def moment(value: datetime | None) -> datetime | None:
    """A time that KFP gave; None if it gave 1970, which means "not yet"."""
    return value if value and value.year > 1970 else None


def seconds_of(run: Any) -> float | None:
    """How long a run took, or has taken so far."""
    started = moment(run.created_at)
    ended = moment(run.finished_at) or datetime.now(UTC)
    return (ended - started).total_seconds() if started else None


def parameters_of(run: Any) -> dict[str, Any]:
    """The parameters a run was given."""
    return cast(dict[str, Any], (run.runtime_config.parameters if run.runtime_config else None) or {})
