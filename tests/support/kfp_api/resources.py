"""What the stand-in server keeps, and what each of its paths does."""

import json
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from kfp_api import strict, words
from kfp_api.listing import listing
from kfp_api.strict import ApiError

Store = dict[str, dict[str, Any]]
FINISHED = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")
NEVER = "1970-01-01T00:00:00Z"
"""KFP's "not yet"."""


class Text(str):
    """An answer that is no JSON."""


class Resources:
    """Pipelines, versions, experiments, runs and recurring runs: id -> what the server would answer, oldest first.

    Attributes:
        multi_user: whether it is a KFP of several users, which wants a namespace in every list.
        forbidden: (verb, kind of thing) that the caller may not do: ("terminate", "runs").
        foreign: namespaces into which the caller may not look.
    """

    def __init__(self) -> None:
        self.multi_user = False
        self.forbidden: set[tuple[str, str]] = set()
        self.foreign: set[str] = set()
        self.pipelines: Store = {}
        self.versions: Store = {}
        self.experiments: Store = {}
        self.runs: Store = {}
        self.recurring_runs: Store = {}
        self._logs: dict[tuple[str, str], str] = {}

    def route(self, method: str, target: str, body: Any) -> Any:
        """What a good request is answered.

        Raises:
            ApiError: to be answered instead.
        """
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        for verb, pattern, allowed, handle in _ROUTES:
            if verb == method and (match := re.fullmatch(pattern, parts.path)):
                if surplus := query.keys() - allowed:
                    raise ApiError(400, f"unknown query parameter: {', '.join(surplus)}")
                return handle(self, *map(unquote, match.groups()), query=query, body=body)
        raise ApiError(404, f"Not Found: {method} {parts.path}")

    # Pipelines

    def _upload_pipeline(self, query: dict[str, str], body: Any) -> Any:
        spec = strict.package(_upload(body))
        name = query.get("name") or spec.get("pipeline_spec", spec)["pipelineInfo"]["name"]
        pipeline = self._new_pipeline({**query, "name": name})
        self._new_version(pipeline["pipeline_id"], {**query, "name": name}, spec)
        return pipeline

    def _upload_version(self, query: dict[str, str], body: Any) -> Any:
        spec = strict.package(_upload(body))
        # The real server says 400 here, not 404.
        if query.get("pipelineid") not in self.pipelines or not query.get("name"):
            raise ApiError(400, "Failed to create a pipeline version: no such pipeline, or no name")
        return self._new_version(query["pipelineid"], query, spec)

    def _create_pipeline(self, query: dict[str, str], body: Any) -> Any:
        given = strict.request("V2beta1Pipeline", body, {"name", "display_name", "description", "namespace"}, set())
        if not (given.get("name") or given.get("display_name")):
            raise ApiError(400, "Pipeline's name cannot be empty")
        return self._new_pipeline(given)

    def _create_version(self, pipeline_id: str, query: dict[str, str], body: Any) -> Any:
        raise ApiError(400, "the stand-in takes versions by upload only, not by package_url")

    def _new_pipeline(self, given: dict[str, Any]) -> Any:
        name = given.get("name") or given["display_name"]
        if any((p["name"], p.get("namespace")) == (name, given.get("namespace")) for p in self.pipelines.values()):
            raise ApiError(409, f"Already exist error: The name {name} already exist. Please specify a new name")
        display = given.get("display_name") or name
        return _add(self.pipelines, "pipeline_id", given, name=name, display_name=display)

    def _new_version(self, pipeline_id: str, given: dict[str, Any], spec: dict[str, Any]) -> Any:
        name = given["name"]
        if any((v["pipeline_id"], v["name"]) == (pipeline_id, name) for v in self.versions.values()):
            raise ApiError(409, f"Already exist error: The name {name} already exist. Please specify a new name")
        kept = {key: given[key] for key in ("description",) if given.get(key)}
        display = given.get("display_name") or name
        fields = {"pipeline_id": pipeline_id, "name": name, "display_name": display, "pipeline_spec": spec}
        return _add(self.versions, "pipeline_version_id", kept, **fields)

    def _pipeline_by_name(self, name: str, query: dict[str, str], body: Any) -> Any:
        for pipeline in self.pipelines.values():
            if pipeline["name"] == name and pipeline.get("namespace", "") == query.get("namespace", ""):
                return pipeline
        raise ApiError(404, f"Pipeline {name} not found")

    def _delete_pipeline(self, pipeline_id: str, query: dict[str, str], body: Any) -> Any:
        _find(self.pipelines, pipeline_id)
        if any(version["pipeline_id"] == pipeline_id for version in self.versions.values()):
            raise ApiError(400, "a pipeline with versions cannot be deleted")
        del self.pipelines[pipeline_id]
        return {}

    def _list_versions(self, pipeline_id: str, query: dict[str, str], body: Any) -> Any:
        _find(self.pipelines, pipeline_id)
        items = [version for version in self.versions.values() if version["pipeline_id"] == pipeline_id]
        return listing("V2beta1PipelineVersion", "pipeline_versions", items, query)

    def _version(self, pipeline_id: str, version_id: str, query: dict[str, str], body: Any) -> Any:
        version = _find(self.versions, version_id)
        if version["pipeline_id"] != pipeline_id:
            raise ApiError(404, f"{version_id} is no version of {pipeline_id}")
        return version

    def _delete_version(self, pipeline_id: str, version_id: str, query: dict[str, str], body: Any) -> Any:
        self._version(pipeline_id, version_id, query, body)
        del self.versions[version_id]
        return {}

    # Experiments

    def _create_experiment(self, query: dict[str, str], body: Any) -> Any:
        allowed = {"display_name", "description", "namespace"}
        given = strict.request("V2beta1Experiment", body, allowed, {"display_name"})
        name = given["display_name"]
        same = (name, given.get("namespace") or None)
        if any((e["display_name"], e.get("namespace")) == same for e in self.experiments.values()):
            raise words.experiment_exists(name)
        return _add(self.experiments, "experiment_id", given, storage_state="AVAILABLE")

    def _archive_experiment(self, experiment_id: str, verb: str, query: dict[str, str], body: Any) -> Any:
        _find(self.experiments, experiment_id)["storage_state"] = "ARCHIVED" if verb == "archive" else "AVAILABLE"
        if verb == "archive":
            for recurring_run in self.recurring_runs.values():
                if recurring_run["experiment_id"] == experiment_id:
                    recurring_run |= {"status": "DISABLED", "mode": "DISABLE"}
        return {}

    # Runs and recurring runs

    def _create_run(self, query: dict[str, str], body: Any) -> Any:
        allowed = {"experiment_id", "display_name", "description", "pipeline_spec", "pipeline_version_reference",
                   "runtime_config", "service_account"}  # fmt: skip
        given = strict.request("V2beta1Run", body, allowed, {"experiment_id", "display_name"})
        self._check_source(given)
        moment = now()
        more = {"state": "PENDING", "storage_state": "AVAILABLE", "scheduled_at": moment, "finished_at": NEVER,
                "state_history": [{"update_time": moment, "state": "PENDING"}]}  # fmt: skip
        return _add(self.runs, "run_id", given, **more)

    def _create_recurring_run(self, query: dict[str, str], body: Any) -> Any:
        allowed = {"experiment_id", "display_name", "description", "pipeline_spec", "pipeline_version_reference",
                   "runtime_config", "service_account", "max_concurrency", "trigger", "mode", "no_catchup",
                   "namespace"}  # fmt: skip
        required = {"experiment_id", "display_name", "max_concurrency", "trigger", "mode"}
        given = strict.request("V2beta1RecurringRun", body, allowed, required)
        self._check_source(given)
        if not 1 <= int(given["max_concurrency"]) <= 10:
            raise ApiError(400, f"max_concurrency: {given['max_concurrency']} is not from 1 to 10")
        if given["mode"] == "MODE_UNSPECIFIED":
            raise ApiError(400, "Recurring run mode is invalid")
        given["max_concurrency"] = str(given["max_concurrency"])
        given["trigger"] = _trigger(given["trigger"])
        status = {"ENABLE": "ENABLED", "DISABLE": "DISABLED"}[given["mode"]]
        return _add(self.recurring_runs, "recurring_run_id", given, status=status)

    def _check_source(self, given: dict[str, Any]) -> None:
        _find(self.experiments, given["experiment_id"])
        version_id: str | None = ""
        if ("pipeline_spec" in given) == ("pipeline_version_reference" in given):
            raise ApiError(400, "exactly one of pipeline_spec and pipeline_version_reference is needed")
        if reference := given.get("pipeline_version_reference"):
            _find(self.pipelines, reference.get("pipeline_id", ""))
            if version_id := reference.get("pipeline_version_id"):
                version = self._version(reference["pipeline_id"], version_id, {}, None)
            else:  # kfp#11560: the newest version, chosen anew each time
                mine = [v for v in self.versions.values() if v["pipeline_id"] == reference["pipeline_id"]]
                if not mine:
                    raise ApiError(404, "the pipeline has no version")
                version, version_id = mine[-1], None
            spec = version["pipeline_spec"]
        else:
            spec = given["pipeline_spec"]
            strict.package(json.dumps(spec.get("pipeline_spec", spec)).encode())
        try:
            strict.inputs(spec, given.get("runtime_config", {}).get("parameters") or {})
        except ApiError as error:
            kind = "recurring run" if "trigger" in given else "run"
            where = "on the latest pipeline version" if version_id is None else "on the pipeline version"
            raise ApiError(
                400, f"Failed to create a {kind}: Failed to validate the input parameters {where}: {error}", error.inner
            ) from None
        given.setdefault("service_account", "pipeline-runner")  # as the real server does

    def _run_verb(self, run_id: str, verb: str, query: dict[str, str], body: Any) -> Any:
        run = _find(self.runs, run_id)
        if verb in ("archive", "unarchive"):
            run["storage_state"] = "ARCHIVED" if verb == "archive" else "AVAILABLE"
        elif verb == "terminate":
            if ("terminate", "runs") in self.forbidden:
                experiment = self.experiments.get(run["experiment_id"], {})
                raise words.may_not_terminate(run_id, experiment.get("namespace", "kubeflow"))
            if run.get("state") in FINISHED:
                raise words.cannot_terminate(run_id)
            run["state"] = "CANCELING"
            run["state_history"] = [*run.get("state_history", []), {"update_time": now(), "state": "CANCELING"}]
        else:
            if run.get("state") not in ("FAILED", "CANCELED"):
                raise ApiError(400, f"run {run_id} cannot be retried: it is {run['state']}")
            run |= {"state": "PENDING", "finished_at": NEVER}
        return {}

    def _switch(self, recurring_run_id: str, verb: str, query: dict[str, str], body: Any) -> Any:
        mode = verb.upper()
        _find(self.recurring_runs, recurring_run_id).update(mode=mode, status=f"{mode}D")
        return {}

    def _log(self, run_id: str, pod: str, query: dict[str, str], body: Any) -> Text:
        """What a pod wrote. Whatever goes wrong, the status is 200: the error stands where the log should."""
        _find(self.runs, run_id)
        if (run_id, pod) in self._logs:
            return Text(self._logs[run_id, pod])
        return Text(words.no_log(run_id, pod))

    def _healthz(self, query: dict[str, str], body: Any) -> Any:
        about = {"commit_sha": "unknown", "tag_name": "unknown", "pipeline_store": "database"}
        return about | ({"multi_user": True} if self.multi_user else {})  # what is false is left out

    def _run(self, run_id: str, query: dict[str, str], body: Any) -> Any:
        if run_id not in self.runs:
            raise words.no_run(run_id)
        return self.runs[run_id]

    def _pipeline(self, pipeline_id: str, query: dict[str, str], body: Any) -> Any:
        if pipeline_id not in self.pipelines:
            raise words.no_pipeline(pipeline_id)
        return self.pipelines[pipeline_id]


def _trigger(trigger: dict[str, Any]) -> dict[str, Any]:
    trigger = {kind: schedule for kind, schedule in trigger.items() if schedule is not None}
    if len(trigger) != 1:
        raise ApiError(400, "a trigger is exactly one of cron_schedule and periodic_schedule")
    ((kind, schedule),) = trigger.items()
    schedule = {field: value for field, value in schedule.items() if value is not None}
    if kind == "cron_schedule" and len(schedule.get("cron", "").split()) != 6:
        raise ApiError(400, f"cron has six fields, seconds first: {schedule.get('cron')!r}")
    if kind == "periodic_schedule":
        if int(schedule.get("interval_second", 0)) < 1:
            raise ApiError(400, "interval_second must be at least 1")
        schedule["interval_second"] = str(schedule["interval_second"])
    for field in ("start_time", "end_time"):
        if field in schedule:  # kept in whole seconds of UTC
            when = strict.timestamp(schedule[field], field).astimezone(UTC)
            schedule[field] = when.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {kind: schedule}


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _add(store: Resources, id_field: str, given: dict[str, Any], **more: Any) -> dict[str, Any]:
    identifier = str(uuid.uuid4())
    store[identifier] = {**given, id_field: identifier, "created_at": now(), **more}
    return store[identifier]


def _find(store: Resources, identifier: str) -> dict[str, Any]:
    if identifier not in store:
        raise ApiError(404, f"ResourceNotFoundError: {identifier} not found", f"{identifier} not found")
    return store[identifier]


def _upload(body: Any) -> bytes:
    if not isinstance(body, dict) or set(body) != {"uploadfile"}:
        raise ApiError(400, "expected a multipart form with one file, uploadfile")
    return body["uploadfile"].encode()


_PAGE = {"page_token", "page_size", "sort_by", "filter"}
_UPLOAD = {"name", "display_name", "description", "tags"}


def _get(store: str) -> Callable[..., Any]:
    return lambda self, identifier, query, body: _find(getattr(self, store), identifier)


def _delete(store: str) -> Callable[..., Any]:
    def delete(self: Resources, identifier: str, query: Any, body: Any) -> Any:
        _find(getattr(self, store), identifier)
        del getattr(self, store)[identifier]
        return {}

    return delete


def _list(name: str, store: str, key: str = "") -> Callable[..., Any]:
    def list_them(self: Resources, query: dict[str, str], body: Any) -> Any:
        if store == "runs" and (namespace := query.get("namespace", "")) in self.foreign:
            raise words.may_not_list(namespace)
        items = list(getattr(self, store).values())
        for scope in ("experiment_id", "namespace"):
            if query.get(scope):
                items = [item for item in items if item.get(scope, query[scope]) == query[scope]]
        return listing(name, key or store, items, query)

    return list_them


_V2 = "/apis/v2beta1"
_ID = "([^/:]+)"
_ROUTES: list[tuple[str, str, set[str], Callable[..., Any]]] = [
    ("GET", f"{_V2}/healthz", set(), Resources._healthz),
    ("POST", f"{_V2}/pipelines/upload", {*_UPLOAD, "namespace"}, Resources._upload_pipeline),
    ("POST", f"{_V2}/pipelines/upload_version", {*_UPLOAD, "pipelineid"}, Resources._upload_version),
    ("GET", f"{_V2}/pipelines/names/{_ID}", {"namespace"}, Resources._pipeline_by_name),
    ("POST", f"{_V2}/pipelines", set(), Resources._create_pipeline),
    ("GET", f"{_V2}/pipelines", {*_PAGE, "namespace"}, _list("V2beta1Pipeline", "pipelines")),
    ("GET", f"{_V2}/pipelines/{_ID}", set(), Resources._pipeline),
    ("DELETE", f"{_V2}/pipelines/{_ID}", {"cascade"}, Resources._delete_pipeline),
    ("POST", f"{_V2}/pipelines/{_ID}/versions", set(), Resources._create_version),
    ("GET", f"{_V2}/pipelines/{_ID}/versions", _PAGE, Resources._list_versions),
    ("GET", f"{_V2}/pipelines/{_ID}/versions/{_ID}", set(), Resources._version),
    ("DELETE", f"{_V2}/pipelines/{_ID}/versions/{_ID}", set(), Resources._delete_version),
    ("POST", f"{_V2}/experiments", set(), Resources._create_experiment),
    ("GET", f"{_V2}/experiments", {*_PAGE, "namespace"}, _list("V2beta1Experiment", "experiments")),
    ("GET", f"{_V2}/experiments/{_ID}", set(), _get("experiments")),
    ("DELETE", f"{_V2}/experiments/{_ID}", set(), _delete("experiments")),
    ("POST", f"{_V2}/experiments/{_ID}:(archive|unarchive)", set(), Resources._archive_experiment),
    ("POST", f"{_V2}/runs", {"experiment_id"}, Resources._create_run),
    ("GET", f"{_V2}/runs", {*_PAGE, "namespace", "experiment_id"}, _list("V2beta1Run", "runs")),
    ("GET", f"{_V2}/runs/{_ID}", {"experiment_id"}, Resources._run),
    ("DELETE", f"{_V2}/runs/{_ID}", {"experiment_id"}, _delete("runs")),
    ("POST", f"{_V2}/runs/{_ID}:(archive|unarchive|terminate|retry)", {"experiment_id"}, Resources._run_verb),
    ("POST", f"{_V2}/recurringruns", set(), Resources._create_recurring_run),
    ("GET", f"{_V2}/recurringruns", {*_PAGE, "namespace", "experiment_id"},
     _list("V2beta1RecurringRun", "recurring_runs", "recurringRuns")),
    ("GET", f"{_V2}/recurringruns/{_ID}", set(), _get("recurring_runs")),
    ("DELETE", f"{_V2}/recurringruns/{_ID}", {"propagation_policy"}, _delete("recurring_runs")),
    ("POST", f"{_V2}/recurringruns/{_ID}:(enable|disable)", set(), Resources._switch),
    # The one way to a task's log, in no generated client; the only path under v1alpha1 in the server's main.go.
    ("GET", "/apis/v1alpha1/runs/([^/]+)/nodes/([^/]+)/log", {"follow"}, Resources._log),
]  # fmt: skip
