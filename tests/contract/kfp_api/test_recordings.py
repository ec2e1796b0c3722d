"""The stand-in server held to what the real Kubeflow Pipelines 2.17 said."""

import base64
import gzip
import json
import re
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Generator
from email.message import Message
from typing import Any

import pytest
from kfp_api import argo
from kfp_api.argo import Attempt, Step
from kfp_api.server import KfpApiServer
from recordings import KFP, recorded

PAST = "2026-11-26T22:00:00Z"
RUN = "e995af2b-aa2e-47da-a492-d7bd91047fdd"
UNKNOWN = "00000000-0000-0000-0000-000000000000"
PACKAGE = """
pipelineInfo: {name: lesionflow-training}
schemaVersion: 2.1.0
deploymentSpec: {executors: {exec: {container: {image: example.com/image}}}}
components: {comp: {executorLabel: exec}}
root:
  dag: {tasks: {step: {componentRef: {name: comp}, taskInfo: {name: step}}}}
  inputDefinitions: {parameters: {source: {parameterType: STRING}}}
"""


class Answer:
    """What a server said: of the recordings, or of the stand-in."""

    def __init__(self, status: int, kind: str, body: str) -> None:
        self.status, self.kind, self.body = status, kind, body

    @property
    def data(self) -> Any:
        return json.loads(self.body)


def real(name: str) -> Answer:
    """The recorded answer of that name, with its headers where they were kept."""
    if name.endswith(".http"):
        head, _, body = (KFP / "api" / name).read_text().replace("\r\n", "\n").partition("\n\n")
        first, _, headers = head.partition("\n")
        kind = next(line for line in headers.splitlines() if line.startswith("Content-Type")).split(": ")[1]
        return Answer(int(first.split()[1]), kind, body)
    status = recorded("api/status-lines.json").get(name.removesuffix(".json"), "HTTP/1.1 200")
    return Answer(int(status.split()[1]), "application/json", (KFP / "api" / name).read_text())


def ask(api: KfpApiServer, method: str, path: str, body: str = "", token: str = "right") -> Answer:
    request = urllib.request.Request(api.url + path, body.encode() or None, method=method)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request) as answer:
            headers: Message = answer.headers
            return Answer(answer.status, headers["Content-Type"], answer.read().decode())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.headers["Content-Type"], error.read().decode())


@pytest.fixture
def api() -> Generator[KfpApiServer]:
    """A KFP of several users with what the recorded one had: an experiment, a pipeline of a version, a run."""
    with KfpApiServer(token="right") as server:
        server.multi_user = True
        server.foreign = {"kubeflow"}
        made = json.dumps({"display_name": "lesionflow", "namespace": "lesionflow"})
        experiment = ask(server, "POST", "/apis/v2beta1/experiments", made).data["experiment_id"]
        made = json.dumps(
            {"display_name": "lesionflow-training", "name": "lesionflow-training", "namespace": "lesionflow"}
        )
        pipeline = ask(server, "POST", "/apis/v2beta1/pipelines", made).data["pipeline_id"]
        version = server.add_version(pipeline, "0.1.0-4f2cbfad", PACKAGE)
        server.runs[RUN] = {
            "experiment_id": experiment,
            "run_id": RUN,
            "display_name": "run",
            "storage_state": "AVAILABLE",
            "pipeline_version_reference": {"pipeline_id": pipeline, "pipeline_version_id": version},
            "runtime_config": {"parameters": {"source": "s3://b"}},
            "service_account": "lesionflow",
            "created_at": PAST,
            "scheduled_at": PAST,
            "finished_at": "1970-01-01T00:00:00Z",
            "state": "RUNNING",
            "state_history": [{"update_time": PAST, "state": "PENDING"}],
        }
        yield server


@pytest.mark.parametrize(
    ("name", "method", "path", "body", "token"),
    [
        ("unauthenticated.json", "GET", "/runs?namespace=lesionflow", "", ""),
        ("badtoken.json", "GET", "/runs?namespace=lesionflow", "", "wrong"),
        ("run-other-namespace.json", "GET", "/runs?namespace=kubeflow", "", "right"),
        ("run-not-found.json", "GET", f"/runs/{UNKNOWN}", "", "right"),
        ("pipeline-not-found.json", "GET", f"/pipelines/{UNKNOWN}", "", "right"),
        (
            "experiment-exists.http",
            "POST",
            "/experiments",
            '{"display_name": "lesionflow", "namespace": "lesionflow"}',
            "right",
        ),
        ("unknown-field.http", "POST", "/experiments", '{"display_name":"x","namespace":"n","bogus":1}', "right"),
        ("terminate-forbidden.http", "POST", f"/runs/{RUN}:terminate", "", "right"),
    ],
)
def test_a_refusal_in_the_words_of_the_real_server(
    api: KfpApiServer, name: str, method: str, path: str, body: str, token: str
) -> None:
    api.forbidden.add(("terminate", "runs"))
    expected, received = real(name), ask(api, method, f"/apis/v2beta1{path}", body, token)
    assert (received.status, received.kind) == (expected.status, expected.kind)

    def words(answer: Answer) -> Any:
        """Where in a body a field stands, and what Argo called the run, are of the occasion."""
        text = re.sub(r"Name:[\w-]+", "Name:NAME", answer.body)
        return json.loads(re.sub(r"\(line 1:\d+\)", "(line 1:N)", text))

    assert words(received) == words(expected)


def test_a_schedule_without_a_parameter(api: KfpApiServer) -> None:
    (pipeline,), (experiment,) = api.pipelines, api.experiments
    body = {
        "display_name": "weekly",
        "experiment_id": experiment,
        "pipeline_version_reference": {"pipeline_id": pipeline},
        "runtime_config": {"parameters": {}},
        "max_concurrency": "1",
        "mode": "DISABLE",
        "trigger": {"cron_schedule": {"cron": "0 0 3 * * 1"}},
    }
    received = ask(api, "POST", "/apis/v2beta1/recurringruns", json.dumps(body))
    expected = real("recurring-run-missing-parameter.http")
    assert (received.status, received.data) == (expected.status, expected.data)


def test_the_end_of_a_run_that_has_ended(api: KfpApiServer) -> None:
    api.set_run(RUN, "FAILED")
    expected = real("terminate-finished.http")
    received = ask(api, "POST", f"/apis/v2beta1/runs/{RUN}:terminate")
    assert received.status == expected.status
    assert received.body.replace(RUN, "ID") == json.dumps(expected.data).replace(
        recorded("api/run-stopped.json")["run_id"], "ID"
    )


def test_a_run_that_is_stopped_has_the_history_of_the_real_one(api: KfpApiServer) -> None:
    api.set_run(RUN, "RUNNING")
    assert ask(api, "POST", f"/apis/v2beta1/runs/{RUN}:terminate").data == {}
    api.set_run(RUN, "FAILED")
    history = ask(api, "GET", f"/apis/v2beta1/runs/{RUN}").data["state_history"]
    real_history = recorded("api/run-stopped.json")["state_history"]
    assert [past.get("state") for past in history] == [past["state"] for past in real_history if "state" in past]


def test_a_log_that_is_not_there_is_an_error_with_status_200(api: KfpApiServer) -> None:
    expected = real("log-missing.http")
    received = ask(api, "GET", f"/apis/v1alpha1/runs/{RUN}/nodes/lesionflow-training-jrdpp-nonexistent/log")
    assert (received.status, received.kind) == (expected.status, expected.kind) == (200, "text/plain; charset=utf-8")
    assert received.data == expected.data


def test_a_log_that_is_there(api: KfpApiServer) -> None:
    expected = real("log-finished.http")
    api.set_log(RUN, "pod-1", expected.body)
    received = ask(api, "GET", f"/apis/v1alpha1/runs/{RUN}/nodes/pod-1/log")
    assert (received.status, received.kind, received.body) == (expected.status, expected.kind, expected.body)


def shape(value: Any, but: set[str]) -> Any:
    """Which fields there are, and of what type; of a list, those of the item that has most."""
    if isinstance(value, dict):
        return {key: shape(item, but) for key, item in value.items() if key not in but}
    if isinstance(value, list):
        shapes = [shape(item, but) for item in value]
        return [max(shapes, key=len)] if shapes and isinstance(shapes[0], dict) else shapes[:1]
    return type(value).__name__


@pytest.mark.parametrize(
    ("name", "path", "left_out"),
    [
        ("healthz.json", "/healthz", set[str]()),
        # `last_run_created_at`: nothing in the product asks for it.
        ("experiments.json", "/experiments?namespace=lesionflow", {"last_run_created_at"}),
        ("pipelines.json", "/pipelines?namespace=lesionflow", set[str]()),
        ("versions.json", "/pipelines/PIPELINE/versions?page_size=1", {"pipeline_spec"}),
        ("recurringruns.json", "/recurringruns?namespace=lesionflow", {"updated_at", "parameters"}),
    ],
)
def test_lists_of_the_shape_of_the_real_ones(api: KfpApiServer, name: str, path: str, left_out: set[str]) -> None:
    (pipeline,), (experiment,) = api.pipelines, api.experiments
    api.add_version(pipeline, "0.1.0-9a99ffe4", PACKAGE)
    weekly = {
        **recorded("api/recurringruns.json")["recurringRuns"][0],
        "experiment_id": experiment,
        "pipeline_version_reference": {"pipeline_id": pipeline},
        "runtime_config": {"parameters": {"source": "s3://b"}},
    }
    for server_sets in ("recurring_run_id", "created_at", "updated_at", "status"):
        del weekly[server_sets]
    assert ask(api, "POST", "/apis/v2beta1/recurringruns", json.dumps(weekly)).status == 200

    received = ask(api, "GET", f"/apis/v2beta1{path}".replace("PIPELINE", pipeline))
    assert shape(received.data, left_out) == shape(real(name).data, left_out)


def test_a_run_of_the_shape_of_the_real_one(api: KfpApiServer) -> None:
    """Pending it has no state and ended in 1970; finished it has a detail for each of Argo's nodes."""
    api.set_run(RUN, "PENDING")
    expected, received = real("run-pending.json").data, ask(api, "GET", f"/apis/v2beta1/runs/{RUN}").data
    assert received.keys() == expected.keys()
    assert received["finished_at"] == expected["finished_at"]
    details = argo.details(nodes_of("refused").values(), created=PAST)
    api.set_run(RUN, "FAILED", details)
    expected, received = real("run-refused.json").data, ask(api, "GET", f"/apis/v2beta1/runs/{RUN}").data
    assert received.keys() == expected.keys()
    assert told(received["run_details"]["task_details"]) == told(expected["run_details"]["task_details"])


@pytest.mark.parametrize("field", ["pod_name", "error", "inputs", "outputs"])
def test_what_the_real_server_never_fills_cannot_be_set(api: KfpApiServer, field: str) -> None:
    details = [
        d for name in ("refused", "reused") for d in recorded(f"api/run-{name}.json")["run_details"]["task_details"]
    ]
    assert not any(field in detail for detail in details)
    with pytest.raises(ValueError, match=field):
        api.set_run(RUN, "RUNNING", [{"display_name": "gate", field: {} if field != "pod_name" else "x"}])


def nodes_of(name: str) -> dict[str, Any]:
    status = recorded(f"kubernetes/workflow-{name}.json.gz")["status"]
    if packed := status.get("compressedNodes"):
        return json.loads(gzip.decompress(base64.b64decode(packed)))
    return status["nodes"]


def told(details: list[dict[str, Any]]) -> Counter[Any]:
    """Task details without their random ids; a detail without a name is of the metadata store, which is no more."""
    keys = ("display_name", "state", "start_time", "end_time")
    return Counter(
        (*(one.get(key) for key in keys), tuple(sorted(child["pod_name"] for child in one.get("child_tasks", []))))
        for one in details
        if "display_name" in one
    )


@pytest.mark.parametrize("name", ["refused", "reused", "stopped"])
def test_task_details_are_made_of_argos_nodes_as_the_real_server_makes_them(name: str) -> None:
    real = recorded(f"api/run-{name}.json")["run_details"]["task_details"]
    assert told(argo.details(nodes_of(name).values())) == told(real)


def test_task_details_say_no_more_than_the_real_ones() -> None:
    real = [d for d in recorded("api/run-refused.json")["run_details"]["task_details"] if "display_name" in d]
    mine = argo.details(nodes_of("refused").values(), run_id="r", created="c")
    assert {key for one in mine for key in one} <= {key for one in real for key in one}


CACHED = [Step(task, "Cached") for task in argo.RECORDED[1:8]]


@pytest.mark.parametrize(
    ("name", "phase", "steps"),
    [
        (
            "reused",
            "Succeeded",
            [
                Step("fingerprint"),
                *CACHED,
                Step("evaluate", "Cached"),
                Step("gate"),
                Step("export", "Cached"),
                Step("promote"),
            ],
        ),
        (
            "refused",
            "Failed",
            [
                Step("fingerprint"),
                *CACHED,
                Step("evaluate"),
                Step("gate", "Failed", (Attempt("Failed", "main: Error (exit code 1)", 1),)),
                Step("export", "Omitted"),
                Step("promote", "Omitted"),
            ],
        ),
        (
            "succeeded-compressed",
            "Succeeded",
            [
                Step("fingerprint"),
                Step("ingest", "Cached"),
                Step("duplicates", "Cached"),
                Step("split"),
                Step("balance"),
                Step("finetune"),
                Step("finetune-2", "Succeeded", (Attempt("Error", "pod deleted"), Attempt("Succeeded"))),
                Step("finetune-3"),
                Step("evaluate"),
                Step("gate"),
                Step("export"),
                Step("promote"),
            ],
        ),
    ],
)
def test_a_run_that_a_test_makes_has_the_nodes_of_the_real_one(name: str, phase: str, steps: list[Step]) -> None:
    """Names, kinds, templates, phases, messages, exit codes, the pods' too."""
    workflow = recorded(f"kubernetes/workflow-{name}.json.gz")["metadata"]["name"]

    def seen(nodes: dict[str, Any]) -> dict[str, Any]:
        keys = ("id", "displayName", "type", "templateName", "phase", "message")
        return {
            node["name"]: (*(node.get(key) for key in keys), node.get("outputs", {}).get("exitCode"))
            for node in nodes.values()
        }

    assert seen(argo.nodes(steps, workflow, phase)) == seen(nodes_of(name))


def test_the_frame_of_folds_is_the_real_one() -> None:
    real = nodes_of("folds-compressed")
    workflow = recorded("kubernetes/workflow-folds-compressed.json.gz")["metadata"]["name"]
    steps = [Step(task, fold=fold) for fold in range(5) for task in ("split", "balance")]
    made = argo.nodes([*map(Step, argo.BEFORE), *steps], workflow, "Failed", folds=5)
    assert {node["name"] for node in made.values()} <= {node["name"] for node in real.values()}


def test_pods_are_named_as_the_real_ones() -> None:
    pods = [pod["metadata"]["name"] for pod in recorded("kubernetes/pods.json.gz")["items"]]
    assert argo.pod_of(Step("fingerprint"), workflow="lesionflow-training-g6gsk") in pods
    folded = argo.pod_of(Step("finetune", fold=2), workflow="lesionflow-cross-validation-v2gml")
    assert folded in pods
