"""Send the pipeline to the cluster and start a run of it, once, whatever happens on the way."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import kfp
from kfp_server_api import (
    V2beta1Experiment,
    V2beta1Pipeline,
    V2beta1PipelineVersionReference,
    V2beta1Run,
    V2beta1RuntimeConfig,
)

from lesionflow.errors import ClusterError, UserError
from lesionflow.kubeflow.client import transport
from lesionflow.kubeflow.runs.runs import find_experiment, where_equal
from lesionflow.kubeflow.submission import Submission

T = TypeVar("T")


@dataclass(frozen=True)
class Known:
    """What of a submission the cluster has already; None where it has nothing."""

    pipeline: Any | None
    version: Any | None
    experiment: Any | None


def look(client: kfp.Client, submission: Submission) -> Known:
    """Ask what the cluster has already. Changes nothing."""
    pipeline = _find_pipeline(client, submission.pipeline)
    found = _find_version(client, pipeline.pipeline_id, submission.version) if pipeline else None
    return Known(pipeline, found, find_experiment(client, submission.experiment))


def send(client: kfp.Client, submission: Submission) -> Any:
    """Upload what is new and start the run.

    May be called again after any error: what an earlier call left is found and used, except for the run,
    whose name must be new.

    Returns:
        The run.

    Raises:
        UserError: there is a run of that name already, or the server refuses something.
        ClusterError: the server broke, and stayed so.
    """
    api = cast(Any, client)  # the generated classes; kfp's own methods print, and look up names in no namespace
    namespace = client.get_user_namespace() or None
    pipeline = _ensure(
        lambda: _find_pipeline(client, submission.pipeline),
        lambda: api.pipelines.pipeline_service_create_pipeline(
            pipeline=V2beta1Pipeline(display_name=submission.pipeline, namespace=namespace)
        ),
    )
    version = _ensure(
        lambda: _find_version(client, pipeline.pipeline_id, submission.version),
        lambda: _upload(api, submission, pipeline.pipeline_id),
    )
    experiment = _ensure(
        lambda: find_experiment(client, submission.experiment),
        lambda: api.experiments.experiment_service_create_experiment(
            experiment=V2beta1Experiment(display_name=submission.experiment, namespace=namespace)
        ),
    )
    if earlier := _find_run(client, experiment.experiment_id, submission.run_name):
        raise UserError(
            f"There is a run {submission.run_name!r} already, {earlier.run_id}; see it with "
            f"`lesionflow status {earlier.run_id}`, or choose another --run-name."
        )
    return _start(client, submission, experiment.experiment_id, pipeline.pipeline_id, version.pipeline_version_id)


def _start(client: kfp.Client, submission: Submission, experiment_id: str, pipeline_id: str, version_id: str) -> Any:
    """Start a run of whose name there is none yet."""
    body = V2beta1Run(
        display_name=submission.run_name,
        experiment_id=experiment_id,
        pipeline_version_reference=V2beta1PipelineVersionReference(
            pipeline_id=pipeline_id, pipeline_version_id=version_id
        ),
        runtime_config=V2beta1RuntimeConfig(
            parameters=dict(submission.parameters), pipeline_root=submission.pipeline_root
        ),
        service_account=submission.service_account,
    )
    try:
        return _ensure(
            lambda: _find_run(client, experiment_id, submission.run_name),
            lambda: cast(Any, client).runs.run_service_create_run(run=body),
            known_absent=True,
        )
    except transport.Unanswered as error:
        raise ClusterError(
            f"{str(error).rstrip('.')}; whether the run has started is not known, so submit again with "
            f"--run-name {submission.run_name}, which never starts a second one."
        ) from None


def _ensure(find: Callable[[], T | None], create: Callable[[], T], known_absent: bool = False) -> T:
    """Have exactly one of something, though answers may be lost: look, create, and look again before a repetition."""
    pauses = iter(transport.PAUSES)
    while True:
        if not known_absent and (found := find()) is not None:
            return found
        known_absent = False
        try:
            return create()
        except (transport.Refused, transport.Unanswered) as error:
            # A conflict: someone else, or our own lost request, was first.
            unclear = isinstance(error, transport.Unanswered) or error.status == 409
            pause = next(pauses, None)
            if not unclear:
                raise
            if pause is None:
                if (found := find()) is not None:
                    return found
                raise
            time.sleep(pause)


def _find_pipeline(client: kfp.Client, name: str) -> Any | None:
    namespace = client.get_user_namespace() or None
    found = client.list_pipelines(filter=where_equal("display_name", name), namespace=namespace).pipelines
    return found[0] if found else None


def _find_version(client: kfp.Client, pipeline_id: str, name: str) -> Any | None:
    found = client.list_pipeline_versions(pipeline_id, filter=where_equal("display_name", name)).pipeline_versions
    return found[0] if found else None


def _find_run(client: kfp.Client, experiment_id: str, name: str) -> Any | None:
    found = client.list_runs(experiment_id=experiment_id, filter=where_equal("display_name", name)).runs
    return found[0] if found else None


def _upload(api: Any, submission: Submission, pipeline_id: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pipeline.yaml")
        file.write_text(submission.package, encoding="utf-8")
        return api.pipeline_uploads.upload_pipeline_version(str(file), name=submission.version, pipelineid=pipeline_id)
