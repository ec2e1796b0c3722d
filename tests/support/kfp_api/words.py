"""Refusals in the words of the real server, as `test_recordings.py` compares them."""

import json

from kfp_api.strict import ApiError

ACCOUNT = "system:serviceaccount:lesionflow:lesionflow-submitter"
"""Who asks, in the words of a refusal."""
_AUTHORIZE = "Failed to authorize the request"


def no_run(run_id: str) -> ApiError:
    """There is no such run."""
    inner = f"Run {run_id} not found"
    chain = f"Failed to authorize with the run ID {run_id}: Failed to fetch run {run_id}: ResourceNotFoundError"
    return ApiError(404, f"Failed to get a run: {_AUTHORIZE}: {chain}: {inner}", inner)


def no_pipeline(pipeline_id: str) -> ApiError:
    """There is no such pipeline."""
    inner = f"Pipeline {pipeline_id} not found"
    chain = [
        f"Failed to get a pipeline {pipeline_id}. Check error stack",
        f"Failed to get a pipeline due authorization error for pipeline id {pipeline_id}",
        f"Failed to access pipeline {pipeline_id}. Check if it exists and have a namespace assigned",
        f"Failed to get a pipeline with id {pipeline_id}",
        "ResourceNotFoundError",
        inner,
    ]
    return ApiError(404, ": ".join(chain), inner)


def experiment_exists(name: str) -> ApiError:
    """There is an experiment of that name already."""
    inner = f"Failed to create a new experiment. The name {name} already exists. Please specify a new name"
    return ApiError(409, f"Failed to create a experiment: Already exist error: {inner}", inner)


def may_not_terminate(run_id: str, namespace: str) -> ApiError:
    """The caller lacks the verb `terminate`."""
    return _denied(f"Failed to terminate a run: {_AUTHORIZE}", f"run {run_id}", "terminate", namespace, run_id)


def cannot_terminate(run_id: str) -> ApiError:
    """The run has ended."""
    inner = f"Failed to terminate a run {run_id}. Row not found"
    chain = f"Failed to terminate a run: Failed to terminate run {run_id}: Invalid input error"
    return ApiError(400, f"{chain}: {inner}", inner)


def may_not_list(namespace: str) -> ApiError:
    """The caller may not look into that namespace."""
    return _denied(_list_refused(namespace), "run ", "list", namespace)


def unauthenticated(token: str, namespace: str) -> ApiError:
    """An unknown caller, in the words of a list of runs."""
    inner = "Failed to check authorization. User identity is empty in the request header"
    no_header = "Request header error: there is no user identity header."
    why = f": Unauthenticated: {no_header}: {no_header}"
    if token:
        invalid = (
            "Review.Status.Authenticated is false. Error invalid bearer token: Failed to authenticate token review"
        )
        why = f": [Unauthenticated: {no_header}: {no_header}, Authentication failure: Unauthenticated: {invalid}]"
    chain = f"{_list_refused(namespace)}: {_access('run ', namespace)}: Unauthenticated"
    return ApiError(401, f"{chain}: {inner}{why}", inner)


def no_log(run_id: str, pod: str) -> str:
    """What stands where a log should; the status is 200."""
    key = f"/artifacts/{'-'.join(pod.split('-')[:3])}/{pod}/main.log"
    chain = [
        f"BadRequestError: Failed to read logs for run {run_id}",
        f"InternalServerError: Failed to read logs from archive {pod} due to error fetching the log file",
        f"InternalServerError: Failed to get file reader for {key}",
        f'blob (key "{key}") (code=NotFound)',
        "operation error S3: GetObject, https response error StatusCode: 404, RequestID: 18EBBB3141054643D66C0147, "
        "HostID: , NoSuchKey: The specified key does not exist.",
    ]
    error = ": ".join(chain)
    return json.dumps({"error_message": error, "error_details": error}, separators=(",", ":"))


def _denied(chain: str, thing: str, verb: str, namespace: str, name: str = "") -> ApiError:
    """A refusal for lack of a permission, for which KFP asks Kubernetes."""
    attributes = (
        f"&ResourceAttributes{{Namespace:{namespace},Verb:{verb},Group:pipelines.kubeflow.org,Version:v1beta1,"
        f"Resource:runs,Subresource:,Name:{name},FieldSelector:nil,LabelSelector:nil,}}"
    )
    inner = f"User '{ACCOUNT}' is not authorized with reason:  (request: {attributes})"
    return ApiError(403, f"{chain}: {_access(thing, namespace)}: PermissionDenied: {inner}: Unauthorized access", inner)


def _list_refused(namespace: str) -> str:
    return (
        "Failed to list runs: Failed to list runs due to authorization error. Check if you have permission to access "
        f"namespace {namespace}"
    )


def _access(thing: str, namespace: str) -> str:
    return f"Failed to access {thing}. Check if you have access to namespace {namespace}"
