"""Schedules on the server: Kubeflow's recurring runs, read and written through its API."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import kfp
import kfp_server_api as api

from lesionflow.errors import ClusterError, UserError
from lesionflow.kubeflow.client import transport
from lesionflow.kubeflow.client.transport import Refused, Unanswered
from lesionflow.kubeflow.runs.runs import find_experiment, where_equal
from lesionflow.kubeflow.schedule.desired import Desired, Observed
from lesionflow.kubeflow.schedule.parameters import check_parameters, pipeline_name
from lesionflow.kubeflow.schedule.spec import LATEST, Schedule
from lesionflow.kubeflow.values import check_uri, check_values
from lesionflow.pipelines.training import NAME

_MARK = re.compile(r"\[lesionflow ([0-9a-f]{16})\]")
"""In the description: the one field that is ours to fill and that the server keeps as it is."""


class Server:
    """The calls that schedules need. Every error is a `Refused` or an `Unanswered` (see `client.transport`)."""

    def __init__(self, client: kfp.Client) -> None:
        self._client = cast(Any, client)
        self._recurring = self._client.recurring_runs
        self._namespace: str | None = client.get_user_namespace() or None
        self._names: dict[tuple[str, ...], str] = {}

    def resolve(self, schedule: Schedule, experiment: str, where: str) -> Desired:
        """Find what a file names, and check its parameters against the pipeline's.

        Args:
            schedule: the file's content.
            experiment: to use if the file names none.
            where: the file, for errors.

        Raises:
            UserError: there is no such pipeline or version, it does not take these parameters, or a run would
                fail of them.
        """
        pipeline_id = self._pipeline_id(schedule, where)
        version = self._version(pipeline_id, schedule, where)
        spec = version.pipeline_spec or {}
        check_parameters(schedule.parameters, spec, where)
        try:
            if schedule.pipeline_root is not None:
                check_uri("pipeline_root", schedule.pipeline_root)
            if pipeline_name(spec) == NAME:  # what another pipeline's parameters mean is not known
                check_values(schedule.parameters)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        pinned = "" if schedule.version == LATEST else version.pipeline_version_id
        experiment = schedule.experiment or experiment
        return Desired(schedule, pipeline_id, pinned, experiment, self._experiment_id(experiment))

    def with_experiment(self, desired: Desired) -> Desired:
        """Create the experiment of `desired` if there is none."""
        body = api.V2beta1Experiment(display_name=desired.experiment, namespace=self._namespace)
        for pause in (*transport.PAUSES, None):
            if identifier := desired.experiment_id or self._experiment_id(desired.experiment):
                return replace(desired, experiment_id=identifier)
            try:
                self._client.experiments.experiment_service_create_experiment(body)
            except (Refused, Unanswered) as error:  # it may have been created all the same, or by someone else: look
                if pause is None or (isinstance(error, Refused) and error.status != 409):
                    raise
                time.sleep(pause)
        raise ClusterError(f"The experiment {desired.experiment} can neither be found nor created; try again later.")

    def observed(self, name: str) -> list[Observed]:
        """All recurring runs of this name, whoever made them."""
        # The server's database may compare without regard to case.
        return [each for each in self._list(where_equal("display_name", name)) if each.name == name]

    def ours(self) -> list[Observed]:
        """All recurring runs that were made from a file."""
        return [each for each in self._list(None) if each.digest]

    def create(self, desired: Desired, replacing: bool) -> None:
        """Create it, disabled."""
        self._recurring.recurring_run_service_create_recurring_run(desired.body(replacing))

    def enable(self, identifier: str) -> None:
        """Let it run."""
        self._recurring.recurring_run_service_enable_recurring_run(identifier)

    def disable(self, identifier: str) -> None:
        """Stop it, without ending runs at work."""
        self._recurring.recurring_run_service_disable_recurring_run(identifier)

    def delete(self, identifier: str) -> None:
        """Delete it, without ending runs at work."""
        # By default Kubernetes deletes what a schedule started along with it (kfp#7421, kfp#12573); servers before
        # 2.16 do not know the option, ignore it, and do so.
        self._recurring.recurring_run_service_delete_recurring_run(identifier, propagation_policy="ORPHAN")

    def last_run(self, identifier: str) -> api.V2beta1Run | None:
        """The newest run that this recurring run started."""
        runs = self._client.runs.run_service_list_runs(
            filter=where_equal("recurring_run_id", identifier),
            sort_by="created_at desc",
            page_size=1,
            **self._scope(),
        ).runs
        return runs[0] if runs else None

    def pipeline_name(self, pipeline_id: str) -> str:
        """For display; the id if it is gone."""
        return self._name(lambda *ids: self._client.get_pipeline(*ids), pipeline_id)

    def version_name(self, pipeline_id: str, version_id: str) -> str:
        """For display; the id if it is gone."""
        return self._name(lambda *ids: self._client.get_pipeline_version(*ids), pipeline_id, version_id)

    def experiment_name(self, experiment_id: str) -> str:
        """For display; the id if it is gone."""
        return self._name(lambda *ids: self._client.get_experiment(*ids), experiment_id)

    def _name(self, get: Callable[..., Any], *ids: str) -> str:
        if ids not in self._names:
            try:
                self._names[ids] = get(*ids).display_name
            except Refused as error:
                if error.status != 404:
                    raise
                self._names[ids] = ids[-1]
        return self._names[ids]

    def _scope(self) -> dict[str, str]:
        return {"namespace": self._namespace} if self._namespace else {}

    def _list(self, filtered: str | None) -> Iterator[Observed]:
        token = ""
        while True:
            page = self._recurring.recurring_run_service_list_recurring_runs(
                page_token=token, page_size=100, filter=filtered or "", **self._scope()
            )
            for run in page.recurring_runs or []:
                mark = _MARK.search(run.description or "")
                # What is not plainly off counts as on: an unknown state must not lead to two at work.
                active = run.status != api.V2beta1RecurringRunStatus.DISABLED
                digest = mark.group(1) if mark else ""
                yield Observed(run.recurring_run_id, run.display_name, digest, active, run.created_at, run)
            token = page.next_page_token
            if not token:
                return

    def _pipeline_id(self, schedule: Schedule, where: str) -> str:
        name = schedule.pipeline_name()
        # With several users a pipeline is in one namespace or shared by all.
        for scope in ({"namespace": self._namespace}, {}) if self._namespace else ({},):
            found = self._client.pipelines.pipeline_service_list_pipelines(
                filter=where_equal("display_name", name), **scope
            ).pipelines
            if found:
                return found[0].pipeline_id
        option = "" if schedule.pipeline else f" --profile {schedule.profile}"
        raise UserError(
            f"{where}: there is no pipeline {name!r} on the server; upload it with `lesionflow submit{option}`."
        )

    def _version(self, pipeline_id: str, schedule: Schedule, where: str) -> Any:
        def find(**query: Any) -> list[Any]:
            found = self._client.pipelines.pipeline_service_list_pipeline_versions(pipeline_id, **query)
            return found.pipeline_versions or []

        newest = find(sort_by="created_at desc", page_size=1)
        if not newest:
            raise UserError(
                f"{where}: the pipeline {schedule.pipeline_name()} has no version; upload one, `lesionflow submit`."
            )
        if schedule.version == LATEST:
            return newest[0]
        named = find(filter=where_equal("display_name", schedule.version))
        if named:
            return named[0]
        if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", schedule.version):
            try:
                return self._client.get_pipeline_version(pipeline_id, schedule.version)
            except Refused as error:
                if error.status != 404:
                    raise
        raise UserError(
            f"{where}: {schedule.pipeline_name()} has no version {schedule.version!r}; the newest is "
            f"{newest[0].display_name!r}, and `version: {LATEST}` follows it."
        )

    def _experiment_id(self, name: str) -> str:
        found = find_experiment(self._client, name)
        return found.experiment_id if found else ""
