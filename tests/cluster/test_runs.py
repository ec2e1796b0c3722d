"""`lesionflow status`, `logs` and `list` against the stand-in API servers of KFP and Kubernetes."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import kube_api.server
import pytest
from in_process import TOKEN, Command
from kfp_api.scripted import done, lines_of, task, work
from kfp_api.server import KfpApiServer
from kube_api.server import KubeApiServer

from pipelines.cluster.connection import connect
from pipelines.cluster.settings import ClusterSettings

SPEC = {
    "pipelineInfo": {"name": "lesionflow-training"},
    "root": {"dag": {}},
    "schemaVersion": "2.1.0",
    "sdkVersion": "kfp-2.17.0",
}


@pytest.fixture
def runs(api: KfpApiServer) -> list[str]:
    """Three runs, oldest first: passed, refused, running."""
    client: Any = connect(ClusterSettings.load())
    experiment = client.create_experiment("lesionflow")
    ids: list[str] = []
    for name in ("first", "second", "third"):
        run: Any = {"display_name": name, "experiment_id": experiment.experiment_id, "pipeline_spec": SPEC}
        ids.append(client.runs.run_service_create_run(run=run).run_id)
    api.set_run(ids[0], "SUCCEEDED", done())
    api.set_run(ids[1], "FAILED", [*done("gate", "promote"), *work("gate", "FAILED")])
    api.set_run(ids[2], "RUNNING", [*work("fingerprint", "SUCCEEDED"), *work("ingest", "RUNNING")])
    api.requests.clear()
    return ids


def test_list_shows_the_newest_first(runs: list[str], api: KfpApiServer, lesionflow: Command) -> None:
    api.runs[runs[2]]["finished_at"] = "1970-01-01T00:00:00Z"  # the real server's "not yet"
    result = lesionflow("list")
    assert result.code == 0
    rows = [line.split() for line in result.out.splitlines()]
    assert rows[0] == ["run", "name", "state", "started", "duration", "verdict"]
    assert [row[:3] for row in rows[1:]] == [
        [runs[2][:8], "third", "running"],
        [runs[1][:8], "second", "failed"],
        [runs[0][:8], "first", "succeeded"],
    ]
    assert 0 <= float(rows[1][5]) < 60
    assert [row[-1] for row in rows[2:]] == ["refused", "passed"]
    assert max(map(len, result.out.splitlines())) <= 80


def test_list_is_limited_and_goes_through_pages(
    runs: list[str], lesionflow: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(lesionflow("list", "--limit", "2").out.splitlines()) == 3
    list_runs = connect(ClusterSettings.load()).list_runs
    monkeypatch.setattr("kfp.Client.list_runs", lambda _, **given: list_runs(**{**given, "page_size": 1}))
    assert len(lesionflow("list").out.splitlines()) == 4


def test_list_without_an_experiment(api: KfpApiServer, lesionflow: Command) -> None:
    assert "no experiment 'lesionflow' yet" in lesionflow("list").sentence()


def test_status_of_the_newest(runs: list[str], api: KfpApiServer, lesionflow: Command) -> None:
    result = lesionflow("status")
    assert result.code == 0
    assert runs[2] in result.out
    assert f"{api.url}/#/runs/details/{runs[2]}" in result.out
    lines = lines_of(result.out)
    assert [line[:3] for line in lines[:3]] == [
        ["✓", "fingerprint", "done"],
        ["▸", "ingest", "running"],
        ["·", "duplicates", "waiting"],
    ]
    assert len(lines) == 12


@pytest.mark.parametrize("how", ["id", "prefix", "name"])
def test_a_run_by_any_of_its_names(runs: list[str], lesionflow: Command, how: str) -> None:
    which = {"id": runs[1], "prefix": runs[1][:8], "name": "second"}[how]
    result = lesionflow("status", which)
    assert result.code == 0
    assert runs[1] in result.out
    assert "refused" in result.out


def test_a_run_that_is_not_there(runs: list[str], lesionflow: Command) -> None:
    for which in ("fourth", "0" * 36):
        assert "There is no run" in lesionflow("status", which).sentence()


def test_a_name_of_two_runs(runs: list[str], api: KfpApiServer, lesionflow: Command) -> None:
    api.runs[runs[0]]["display_name"] = "second"
    sentence = lesionflow("status", "second").sentence()
    assert "'second' means 2 runs" in sentence
    assert runs[0][:13] in sentence


def test_skipped_for_the_cache_or_for_a_failure(runs: list[str], api: KfpApiServer, lesionflow: Command) -> None:
    tasks = [task("fingerprint", "SUCCEEDED"), task("ingest", "SKIPPED"), task("split", "FAILED")]
    api.set_run(runs[2], "FAILED", [*tasks, task("balance", "SKIPPED")])
    states = {line[1]: line[2] for line in lines_of(lesionflow("status").out)}
    assert states["ingest"] == "reused"
    assert states["balance"] == "waiting"


def test_an_api_of_a_newer_kfp(runs: list[str], api: KfpApiServer, lesionflow: Command) -> None:
    """Fields and states that this kfp does not know are no reason to break."""
    api.runs[runs[2]]["something_new"] = {"a": 1}
    assert lesionflow("status").code == 0


def test_log_of_one_step(runs: list[str], api: KfpApiServer, lesionflow: Command) -> None:
    api.set_log(runs[2], "lesionflow-ingest-pod", "10 images [of 20]\n20 images\n")
    result = lesionflow("logs", "third", "ingest")
    assert (result.code, result.out) == (0, "10 images [of 20]\n20 images\n")
    assert lesionflow("logs", "third", "ingest", "--follow").out == result.out
    assert api.requests[-1][1].endswith("/log?follow=true")


def test_log_of_all_steps(runs: list[str], api: KfpApiServer, lesionflow: Command) -> None:
    api.set_log(runs[2], "lesionflow-ingest-pod", "20 images\n")
    api.set_log(runs[2], "lesionflow-fingerprint-pod", "a digest\n")
    assert lesionflow("logs", "third").out == "fingerprint\na digest\ningest\n20 images\n"


def test_log_of_what_is_no_step(runs: list[str], api: KfpApiServer, lesionflow: Command) -> None:
    assert "There is no step 'inges'; expected one of fingerprint," in lesionflow("logs", "third", "inges").sentence()
    assert api.requests == []


def test_log_that_can_be_had_nowhere(runs: list[str], lesionflow: Command) -> None:
    sentence = lesionflow("logs", "third", "ingest").sentence()
    assert "kubeconfig" in sentence


@pytest.fixture
def kube(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[KubeApiServer]:
    """Kubernetes' stand-in, taught to tell any pod's log."""
    answer = kube_api.server._Handler._answer

    def with_logs(handler: Any) -> None:
        path, _, query = handler.path.partition("?")
        if not path.endswith("/log"):
            return answer(handler)
        text = f"of {path.split('/')[-2]}, {query}\n".encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    monkeypatch.setattr(kube_api.server._Handler, "_answer", with_logs)
    with KubeApiServer() as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path)))
        yield server


def pod(run_id: str, name: str, node: str, created: str = "2026-03-01T12:00:00Z") -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "kubeflow",
            "creationTimestamp": created,
            "labels": {"pipeline/runid": run_id},
            "annotations": {"workflows.argoproj.io/node-name": f"lesionflow-x.root.{node}"},
        },
        "spec": {"containers": [{"name": "main", "image": "i"}]},
        "status": {"phase": "Running"},
    }


def test_log_from_the_pod(runs: list[str], kube: KubeApiServer, lesionflow: Command) -> None:
    """The newest attempt, not the driver."""
    kube.add("pods", pod(runs[2], "attempt-1", "ingest.executor(0)"))
    kube.add("pods", pod(runs[2], "driver", "ingest-driver", "2026-03-01T14:00:00Z"))
    kube.add("pods", pod(runs[2], "attempt-2", "ingest.executor(1)", "2026-03-01T13:00:00Z"))
    kube.add("pods", pod(runs[1], "other-run", "ingest.executor", "2026-03-01T14:00:00Z"))
    result = lesionflow("logs", "third", "ingest")
    assert (result.code, result.out) == (0, "of attempt-2, container=main&follow=False\n")


@pytest.mark.parametrize("denied", [True, False])
def test_log_of_a_pod_that_is_gone_or_secret(
    runs: list[str], kube: KubeApiServer, lesionflow: Command, denied: bool
) -> None:
    if denied:
        kube.denied.add("list pods")
    sentence = lesionflow("logs", "third", "ingest").sentence()
    assert ("forbidden" if denied else "its pod is gone") in sentence


def test_secrets_stay_secret(runs: list[str], api: KfpApiServer, lesionflow: Command, caplog: Any) -> None:
    caplog.set_level("DEBUG")
    for command in (("list",), ("status",), ("status", "nothing"), ("logs", "third")):
        api.fail_next("GET", "runs", 401)
        lesionflow(*command)  # asserts that the token is in nothing it says
        lesionflow(*command)
    assert TOKEN not in caplog.text
