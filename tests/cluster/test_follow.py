"""`lesionflow submit --wait`: what is shown of a run whose states a test scripts, and the exit codes."""

import time
from pathlib import Path
from typing import Any

import pytest
from in_process import Command
from kfp_api.scripted import done, lines_of, play, task, work
from kfp_api.server import KfpApiServer
from kube_api.server import KubeApiServer

from pipelines import cross_validation
from pipelines.cluster import follow

WAIT = ("submit", "--data", "gs://bucket/data", "--registry", "gs://bucket/registry", "--wait")
REFUSED = [*done("gate", "promote"), *work("gate", "FAILED")]

pytestmark = pytest.mark.usefixtures("pinned")


def log_when_started(api: KfpApiServer, step: str, text: str) -> None:
    """What the log endpoint tells of a step of whatever run is created next."""
    route = api.route

    def also_log(method: str, target: str, body: Any) -> Any:
        for run_id in api.runs:
            api.set_log(run_id, f"lesionflow-{step}-pod", text)
        return route(method, target, body)

    api.route = also_log  # type: ignore[method-assign]


def test_a_run_that_passes(api: KfpApiServer, lesionflow: Command) -> None:
    reused = [*work("ingest", "SUCCEEDED", executor="SKIPPED"), *work("fingerprint", "SUCCEEDED")]
    play(
        api,
        ("PENDING", []),
        ("RUNNING", work("fingerprint", "RUNNING")),
        ("RUNNING", [*reused, *work("split", "RUNNING")]),
        ("SUCCEEDED", [*reused, *done("ingest", "fingerprint")]),
    )
    result = lesionflow(*WAIT)
    assert (result.code, result.err) == (0, "")
    lines = lines_of(result.out)
    assert lines[0] == ["✓", "fingerprint", "done", "10.0", "s"]
    assert lines[1] == ["↻", "ingest", "reused"]
    assert [line[1] for line in lines] == [
        "fingerprint", "ingest", "duplicates", "split", "balance", "finetune-head", "finetune-partial", "finetune-full",
        "evaluate", "gate", "export", "promote",
    ]  # fmt: skip
    assert "Passed: the gate let the model through; it is in gs://bucket/registry" in result.out


def test_a_cross_validation_shows_each_step_of_all_its_folds_as_one(api: KfpApiServer, lesionflow: Command) -> None:
    """The tasks are those of the folds as Argo's nodes appear in KFP's account; no cluster made them."""
    before = [*work("fingerprint", "SUCCEEDED"), *work("ingest", "SUCCEEDED"), *work("duplicates", "SUCCEEDED")]
    before.append(task("for-loop-2-loop", "RUNNING"))
    folds = [*work("split", "SUCCEEDED"), *work("split", "SUCCEEDED")]
    each = [
        entry for name in cross_validation.EACH_FOLD for entry in (*work(name, "SUCCEEDED"), *work(name, "SUCCEEDED"))
    ]
    play(
        api,
        ("RUNNING", [*before, *work("split", "SUCCEEDED")]),
        ("RUNNING", [*before, *folds, *work("balance", "RUNNING")]),
        ("FAILED", [*before, *each, *work("pool", "SUCCEEDED"), *work("gate", "FAILED")]),
    )
    result = lesionflow("submit", "--data", "gs://bucket/data", "--folds", "2", "--wait")
    assert (result.code, result.err) == (3, "")
    lines = lines_of(result.out)
    assert [line[1] for line in lines] == [*list(cross_validation.TASKS.values())]
    assert lines[3] == ["✓", "split", "done", "20.0", "s", "done", "in", "2", "folds"]

    play(api, ("SUCCEEDED", [*before, *each, *work("pool", "SUCCEEDED"), *work("gate", "SUCCEEDED")]))
    passed = lesionflow("submit", "--data", "gs://bucket/data", "--folds", "2", "--wait")
    assert passed.code == 0
    assert "Passed: the gate let the method through; a cross-validation promotes nothing." in passed.out


def test_a_run_that_is_refused(api: KfpApiServer, lesionflow: Command) -> None:
    log = "I0301 launcher\ngate: macro-F1 0.512 is below 0.7.\nF0301 failed to execute component: exit status 3\n"
    log_when_started(api, "gate", log)
    play(api, ("FAILED", REFUSED))
    result = lesionflow(*WAIT)
    assert result.code == 3
    assert "Refused: macro-F1 0.512 is below 0.7. Nothing was promoted." in result.out
    assert ["✗", "gate", "failed", "10.0", "s"] in lines_of(result.out)


def test_a_refusal_whose_log_is_out_of_reach(api: KfpApiServer, lesionflow: Command) -> None:
    play(api, ("FAILED", REFUSED))
    result = lesionflow(*WAIT)
    assert result.code == 3
    assert "Refused: The gate refused the model; its log says why." in result.out


@pytest.mark.parametrize(
    ("log", "code", "words"),
    [
        ("Traceback ...\nMemoryError\nF0301 exit status 1\n", 1, "The step gate failed"),
        ("gate: e.json contradicts itself; run evaluate again.\nF0301 exit status 2\n", 2, "contradicts itself"),
        ("F0301 failed to execute component: exit status 137\n", 1, "The step gate failed"),
    ],
)
def test_a_gate_that_fails_without_refusing(
    api: KfpApiServer, lesionflow: Command, log: str, code: int, words: str
) -> None:
    log_when_started(api, "gate", log)
    play(api, ("FAILED", REFUSED))
    result = lesionflow(*WAIT)
    assert result.code == code
    assert f"Failed: {words}" in result.out or (code == 2 and words in result.out)
    assert "Refused" not in result.out


@pytest.mark.parametrize(
    "gate",
    [
        work("gate", "FAILED", error={"code": 1, "message": "OOMKilled (exit code 137)"}),
        work("gate", "FAILED", error={"code": 1, "message": "pod deleted"}),
        work("gate", "FAILED", error={"code": 1, "message": "Pod was active on the node longer than the deadline"}),
        [task("gate-driver", "FAILED"), task("gate", "FAILED")],
    ],
)
def test_a_gate_that_was_killed_or_never_ran(api: KfpApiServer, lesionflow: Command, gate: Any) -> None:
    play(api, ("FAILED", [*done("gate", "promote"), *gate]))
    assert lesionflow(*WAIT).code == 1


@pytest.mark.parametrize(
    ("log", "code", "words"),
    [
        ("split: there are no images.\nF0301 exit status 2\n", 2, "Failed: there are no images."),
        ("F0301 exit status 1\n", 1, "Failed: The step split failed: its log says why."),
        ("split: there are 3 images.\nF0301 exit status 3\n", 1, "Failed: The step split failed: there are 3 images."),
    ],
)
def test_a_step_that_fails(api: KfpApiServer, lesionflow: Command, log: str, code: int, words: str) -> None:
    log_when_started(api, "split", log)
    tasks = [*work("fingerprint", "SUCCEEDED"), *work("ingest", "SUCCEEDED"), *work("split", "FAILED")]
    play(api, ("RUNNING", []), ("FAILED", tasks))
    result = lesionflow(*WAIT)
    assert result.code == code
    assert words in result.out
    assert f"lesionflow logs {next(iter(api.runs))}" in result.out


def test_a_run_that_is_cancelled(api: KfpApiServer, lesionflow: Command) -> None:
    play(api, ("CANCELED", work("fingerprint", "CANCELED")))
    result = lesionflow(*WAIT)
    assert result.code == 1
    assert "Failed: The run was canceled." in result.out


def test_a_run_that_fails_before_any_step(api: KfpApiServer, lesionflow: Command) -> None:
    play(api, ("FAILED", []))
    result = lesionflow(*WAIT)
    assert result.code == 1
    assert "Failed: The run failed: no step of it did." in result.out


@pytest.mark.parametrize("fault", [429, 500, "drop"])
def test_an_api_that_is_away_for_a_while(api: KfpApiServer, lesionflow: Command, fault: Any) -> None:
    play(api, ("RUNNING", []), ("RUNNING", work("fingerprint", "RUNNING")), ("SUCCEEDED", done()))
    api.fail_next("GET", "/runs/", fault, times=30)
    assert lesionflow(*WAIT).code == 0


def test_an_api_that_stays_away(api: KfpApiServer, lesionflow: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "PATIENCE", 0.05)
    api.fail_next("GET", "/runs/", 500, times=10_000)
    result = lesionflow(*WAIT)
    assert result.code == 1
    assert "is broken (500)" in result.sentence()


def test_a_token_that_expires_meanwhile(api: KfpApiServer, lesionflow: Command) -> None:
    api.fail_next("GET", "/runs/", 401, times=100)
    result = lesionflow(*WAIT)
    assert result.code == 2
    assert "(401)" in result.sentence()


def test_ctrl_c_leaves_the_run_alone(api: KfpApiServer, lesionflow: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    result = lesionflow(*WAIT)
    (run,) = api.runs.values()
    assert result.code == 130
    assert f"The run goes on. Look again with: lesionflow status {run['run_id']}" in result.out
    assert run["state"] == "PENDING"


@pytest.fixture
def kube(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Its stand-in, reached by a kubeconfig."""
    with KubeApiServer() as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path)))
        yield server


def pod(run_id: str, step: str, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"lesionflow-{step}",
            "namespace": "kubeflow",
            "uid": f"uid-{step}",
            "creationTimestamp": "2026-03-01T12:00:00Z",
            "labels": {"pipeline/runid": run_id},
            "annotations": {"workflows.argoproj.io/node-name": f"lesionflow-x.root.{step}.executor"},
        },
        "spec": {"containers": [{"name": "main", "image": "example.com/i@sha256:0"}]},
        "status": status,
    }


def add_when_started(api: KfpApiServer, kube: KubeApiServer, step: str, **status: Any) -> None:
    route = api.route

    def also_pod(method: str, target: str, body: Any) -> Any:
        if api.runs and not kube.objects["pods"]:
            kube.add("pods", pod(next(iter(api.runs)), step, **status))
        return route(method, target, body)

    api.route = also_pod  # type: ignore[method-assign]


def test_why_a_pod_waits(
    api: KfpApiServer, kube: KubeApiServer, lesionflow: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said once, however often it is asked."""
    monkeypatch.setattr(follow, "PENDING_PERIOD", 0.0)
    message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    add_when_started(api, kube, "finetune", phase="Pending", conditions=[condition])
    play(api, ("RUNNING", work("finetune", "RUNNING", executor="PENDING")), ("RUNNING", []), ("SUCCEEDED", done()))
    result = lesionflow(*WAIT)
    assert result.code == 0
    assert result.out.count("finetune-head waits for a node") == 1


def test_a_gate_killed_for_memory_is_no_refusal(api: KfpApiServer, kube: KubeApiServer, lesionflow: Command) -> None:
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    container = {"name": "main", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": ended}
    add_when_started(api, kube, "gate", phase="Failed", containerStatuses=[container])
    play(api, ("FAILED", REFUSED))
    result = lesionflow(*WAIT)
    assert result.code == 1
    assert "Failed: The step gate was killed for memory" in result.out


def test_no_access_to_pods_is_quiet(api: KfpApiServer, lesionflow: Command) -> None:
    play(api, ("SUCCEEDED", done()))
    assert "pods" not in lesionflow(*WAIT).out
    play(api, ("SUCCEEDED", done()))
    assert "Why pods wait is not known" in lesionflow(*WAIT, "--verbose").out
