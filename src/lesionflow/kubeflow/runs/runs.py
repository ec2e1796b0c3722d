"""Runs on the cluster: finding one, and what a list says of it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import kfp

from lesionflow.errors import UserError
from lesionflow.kubeflow.client.transport import Refused
from lesionflow.kubeflow.runs.run_reader import RunReader
from lesionflow.kubeflow.runs.task_details import moment
from lesionflow.kubeflow.runs.task_state import FINISHED, RunState


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


def verdict(reader: RunReader, run: Any) -> str:
    """The verdict on a run of a list, which says nothing of its steps; raises as `RunReader.look`."""
    if run.state not in ("FAILED", "CANCELED"):
        return "passed" if run.state == "SUCCEEDED" else ""
    return verdict_of(reader.look(run.run_id))


def verdict_of(state: RunState) -> str:
    """passed, refused, stopped, or nothing if the gate did not come to speak."""
    if state.state == "SUCCEEDED":
        return "passed"
    if state.state not in FINISHED:
        return ""
    return "stopped" if state.stopped else "refused" if state.refused else ""


def seconds_of(run: Any) -> float | None:
    """How long a run took, or has taken so far."""
    started = moment(run.created_at)
    ended = moment(run.finished_at) or datetime.now(UTC)
    return (ended - started).total_seconds() if started else None
