"""`lesionflow status`, `logs`, `stop` and `list` against the stand-in API server of KFP and runs as Argo keeps them."""

from collections.abc import Callable
from typing import Any

import pytest
from fake_kube import FakeKube
from in_process import TOKEN, Command
from kfp_api import argo
from kfp_api.scripted import Attempt, Step, details, done, lines_of, words, work
from kfp_api.server import KfpApiServer
from recordings import KFP, recorded

from lesionflow.kubeflow.client.connection import connect
from lesionflow.kubeflow.client.settings import ClusterSettings
from lesionflow.kubeflow.kube.cluster_access import Denied

WithKube = Callable[[FakeKube], FakeKube]
LOST = Attempt("Error", "pod deleted")

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
    api.set_run(ids[0], "SUCCEEDED", details(done(), "SUCCEEDED"))
    api.set_run(ids[1], "FAILED", details([*done("gate", "export", "promote"), *work("gate", "Failed")], "FAILED"))
    api.set_run(ids[2], "RUNNING", details([*work("fingerprint"), *work("ingest", "Running")]))
    api.requests.clear()
    return ids


def test_list_shows_the_newest_first(runs: list[str], api: KfpApiServer, lesionflow: Command) -> None:
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
    assert [line[:3] for line in lines[:4]] == [
        ["·", "preflight", "waiting"],
        ["✓", "fingerprint", "done"],
        ["▸", "ingest", "running"],
        ["·", "duplicates", "waiting"],
    ]
    assert len(lines) == 13
    assert result.out.count("Kubernetes does not tell of this run (There is no kubeconfig at") == 1


def test_status_from_the_workflow(runs: list[str], lesionflow: Command, with_kube: WithKube) -> None:
    """It knows of attempts and why one waits, and is right about a run whose details have gone stale."""
    again = work("finetune", "Running", LOST, Attempt("Pending"))
    with_kube(FakeKube(("RUNNING", [*done(*argo.RECORDED[5:]), *again]), compressed=True))
    lines = [" ".join(line) for line in lines_of(lesionflow("status").out)]
    assert lines[5:8] == [
        "✓ balance done 10.0 s",
        "· finetune-head waiting attempt 2, 1 lost its pod; its pod is Pending",
        "· finetune-partial waiting",
    ]


@pytest.mark.parametrize(
    ("name", "state", "verdict"),
    [("succeeded-compressed", "SUCCEEDED", "passed"), ("folds-compressed", "FAILED", "stopped"),
     ("refused", "FAILED", "refused"), ("reused", "SUCCEEDED", "passed"), ("stopped", "FAILED", "stopped")],
)  # fmt: skip
def test_status_of_a_real_run(
    runs: list[str], api: KfpApiServer, lesionflow: Command, with_kube: WithKube, name: str, state: str, verdict: str
) -> None:
    """What KFP and Argo really said of one, past 1 MB or not."""
    kube = with_kube(FakeKube())
    kube.workflow = lambda _: recorded(f"kubernetes/workflow-{name}.json.gz")  # type: ignore[method-assign]
    packed = ".json" if (KFP / "api" / f"run-{name}.json").is_file() else ".json.gz"
    api.runs[runs[2]] = {**recorded(f"api/run-{name}{packed}"), "run_id": runs[2]}
    result = lesionflow("status", runs[2])
    assert f"{state.lower()}, {verdict}" in result.out
    states = {line[1]: line[2] for line in lines_of(result.out)}
    expected = {
        "succeeded-compressed": {"ingest": "reused", "finetune-partial": "done", "promote": "done"},
        "folds-compressed": {"split": "done", "finetune-head": "killed", "evaluate": "waiting", "pool": "waiting"},
        "refused": {"finetune-full": "reused", "gate": "failed", "export": "waiting"},
        "stopped": {"fingerprint": "killed", "ingest": "waiting"},
        "reused": {"evaluate": "reused", "gate": "done", "export": "reused", "promote": "done"},
    }[name]
    assert expected.items() <= states.items()
    assert " 0.0 s" not in result.out


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
    steps = [*work("fingerprint"), *work("ingest", "Cached"), *work("split", "Failed"), *work("balance", "Omitted")]
    api.set_run(runs[2], "FAILED", details(steps, "FAILED"))
    states = {line[1]: line[2] for line in lines_of(lesionflow("status").out)}
    assert states["ingest"] == "reused"
    assert states["balance"] == "waiting"


def test_an_api_of_a_newer_kfp(runs: list[str], api: KfpApiServer, lesionflow: Command) -> None:
    """Fields and states that this kfp does not know are no reason to break."""
    api.runs[runs[2]]["something_new"] = {"a": 1}
    assert lesionflow("status").code == 0


def test_status_of_a_real_run_that_was_stopped_without_kubernetes(
    runs: list[str], api: KfpApiServer, lesionflow: Command
) -> None:
    """KFP says FAILED; its history knows better."""
    api.runs[runs[2]] = {**recorded("api/run-stopped.json"), "run_id": runs[2]}
    assert "Is:   failed, stopped" in lesionflow("status", runs[2]).out


def test_log_of_one_step(runs: list[str], api: KfpApiServer, lesionflow: Command) -> None:
    """From KFP's API alone, which knows a log by the name of its pod and tells that of no task."""
    api.set_log(runs[2], argo.pod_of(Step("ingest")), "10 images [of 20]\n20 images\n")
    result = lesionflow("logs", "third", "ingest")
    assert (result.code, result.out) == (0, "10 images [of 20]\n20 images\n")


def test_log_that_is_followed_without_kubernetes(runs: list[str], api: KfpApiServer, lesionflow: Command) -> None:
    """KFP's API cannot follow a log; asked again, it tells more."""
    pod, asked = argo.pod_of(Step("ingest")), iter(range(99))

    def work_on() -> None:
        if "/log" in api.requests[-1][1]:
            written = min(3, next(asked) + 1)
            api.set_log(runs[2], pod, "".join(f"{number}\n" for number in range(written)))
            if written == 3:
                api.set_run(runs[2], "RUNNING", details([*work("fingerprint"), *work("ingest")]))

    api.after_request = work_on
    result = lesionflow("logs", "third", "ingest", "--follow")
    assert (result.code, result.out) == (0, "0\n1\n2\n")
    assert "Kubernetes does not tell of this run" in result.err


def test_log_of_a_retried_step_of_a_fold_without_kubernetes(
    runs: list[str], api: KfpApiServer, lesionflow: Command
) -> None:
    """The newest attempt's, found by what its pod must be called."""
    again = Step("finetune", "Running", (LOST, Attempt("Running")), fold=1)
    steps = [Step("fingerprint"), Step("finetune", fold=0), again]
    api.set_run(runs[2], "RUNNING", details(steps, folds=2))
    api.runs[runs[2]]["runtime_config"] = {"parameters": {"source": "gs://b"}}
    for attempt in (0, 1):
        api.set_log(runs[2], argo.pod_of(again, attempt, argo.FOLDED), f"attempt {attempt}\n")
    assert lesionflow("logs", "third", "finetune-head", "--fold", "2").out == "attempt 1\n"


def test_log_of_all_steps(runs: list[str], api: KfpApiServer, lesionflow: Command) -> None:
    api.set_log(runs[2], argo.pod_of(Step("ingest")), "20 images\n")
    api.set_log(runs[2], argo.pod_of(Step("fingerprint")), "a digest\n")
    assert lesionflow("logs", "third").out == "fingerprint\na digest\ningest\n20 images\n"


def test_log_of_what_is_no_step(runs: list[str], api: KfpApiServer, lesionflow: Command) -> None:
    assert (
        "There is no step 'inges'; expected one of preflight, fingerprint,"
        in lesionflow("logs", "third", "inges").sentence()
    )
    assert api.requests == []


def test_log_that_can_be_had_nowhere(runs: list[str], lesionflow: Command) -> None:
    """KFP answers 200, with an error where the log should be."""
    result = lesionflow("logs", "third", "ingest")
    assert result.code == 2
    assert "The log of ingest cannot be had: Kubeflow Pipelines has none (" in result.sentence()
    assert "NoSuchKey: The specified key does not exist" in result.sentence()
    assert "kubeconfig" in result.sentence()


def test_log_as_the_real_server_answered(runs: list[str], api: KfpApiServer, lesionflow: Command) -> None:
    api.set_log(
        runs[2], argo.pod_of(Step("ingest")), (KFP / "api" / "log-finished.http").read_text().partition("\n\n")[2]
    )
    result = lesionflow("logs", "third", "ingest")
    assert result.code == 0
    assert "launcher_v2.go" in result.out
    api.set_log(
        runs[2], argo.pod_of(Step("ingest")), (KFP / "api" / "log-missing.http").read_text().partition("\n\n")[2]
    )
    result = lesionflow("logs", "third", "ingest")
    assert (result.code, result.out) == (2, "")
    assert "cannot be had" in result.sentence()


def test_log_of_a_running_step_from_its_pod(runs: list[str], lesionflow: Command, with_kube: WithKube) -> None:
    """KFP has none of a step that runs. The newest attempt, not the driver."""
    steps = [Step("fingerprint"), *work("ingest", "Running", LOST, Attempt("Running"))]
    kube = with_kube(FakeKube(("RUNNING", steps)))
    kube.logs = {argo.pod_of(steps[1], 0): "first\n", argo.pod_of(steps[1], 1): "second\n"}
    result = lesionflow("logs", "third", "ingest")
    assert (result.code, result.out, result.err) == (0, "second\n", "")


def test_log_that_is_followed_through_a_retry(runs: list[str], lesionflow: Command, with_kube: WithKube) -> None:
    once, twice = work("ingest", "Running")[0], work("ingest", "Running", LOST, Attempt("Running"))[0]
    waits = work("ingest", "Running", LOST, Attempt("Pending"))[0]
    ends = work("ingest", "Succeeded", LOST, Attempt("Succeeded"))[0]
    # The first two looks are the command's own.
    kube = with_kube(FakeKube(*(("RUNNING", [step]) for step in (once, once, once, waits, twice, ends))))
    kube.logs = {argo.pod_of(twice, 0): "epoch 1\nepo", argo.pod_of(twice, 1): "epoch 2\n"}
    result = lesionflow("logs", "third", "ingest", "--follow")
    assert (result.code, result.out) == (0, "epoch 1\nepo\nepoch 2\n")
    assert result.err == "ingest goes on in another pod, attempt 2:\n"


def test_log_of_a_step_that_is_followed_from_before_it_begins(
    runs: list[str], lesionflow: Command, with_kube: WithKube
) -> None:
    running, ended = work("split", "Running"), work("split")
    kube = with_kube(FakeKube(*(("RUNNING", step) for step in ([], [], work("split", "Pending"), running, ended))))
    kube.logs = {argo.pod_of(running[0]): "split\n"}
    assert lesionflow("logs", "third", "split", "--follow").out == "split\n"


def test_log_of_a_step_whose_pod_waits(runs: list[str], lesionflow: Command, with_kube: WithKube) -> None:
    reason = "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu."
    with_kube(FakeKube(("RUNNING", work("ingest", "Running", Attempt("Pending", reason)))))
    assert f"· ingest waiting {reason}" in [" ".join(line) for line in lines_of(lesionflow("status").out)]
    sentence = lesionflow("logs", "third", "ingest").sentence()
    assert "The step ingest has not written anything: its pod is not running yet: Unschedulable: 0/1 nodes" in sentence


def test_log_of_a_step_in_several_folds(
    runs: list[str], api: KfpApiServer, lesionflow: Command, with_kube: WithKube
) -> None:
    steps = [Step("split", fold=0), Step("split", "Running", fold=1), Step("split", "Pending", fold=2)]
    kube = with_kube(FakeKube(("RUNNING", steps), folds=3))
    kube.logs = {argo.pod_of(step, 0, argo.FOLDED): f"fold {step.fold}\n" for step in steps[:2]}
    result = lesionflow("logs", "third", "split")
    assert "fold 0\nfold 1\n" in result.out
    assert "split of fold 1:\nsplit of fold 2:\n" in result.err
    assert lesionflow("logs", "third", "split", "--fold", "2").out == "fold 1\n"
    assert "has 3 folds; there is no fold 4" in lesionflow("logs", "third", "split", "--fold", "4").sentence()
    assert "has no step promote" in lesionflow("logs", "third", "promote").sentence()


def test_log_of_a_step_that_was_reused(runs: list[str], lesionflow: Command, with_kube: WithKube) -> None:
    with_kube(FakeKube(("RUNNING", work("ingest", "Cached"))))
    assert "its result was reused from an earlier run" in lesionflow("logs", "third", "ingest").sentence()


@pytest.mark.parametrize("denied", [True, False])
def test_log_of_a_pod_that_is_gone_or_secret(
    runs: list[str], api: KfpApiServer, lesionflow: Command, with_kube: WithKube, denied: bool
) -> None:
    """KFP's own copy is the next best; where there is none, both reasons are said."""
    kube = with_kube(FakeKube(("RUNNING", work("ingest", "Running"))))
    if denied:

        def refuse(*_: Any) -> None:
            raise Denied('pods "x" is forbidden')

        kube.log = refuse  # type: ignore[method-assign]
    sentence = lesionflow("logs", "third", "ingest").sentence()
    assert ("is forbidden" if denied else "is gone") in sentence
    api.set_log(runs[2], argo.pod_of(Step("ingest")), "20 images\n")
    assert lesionflow("logs", "third", "ingest").out == "20 images\n"


def test_stop(runs: list[str], api: KfpApiServer, lesionflow: Command) -> None:
    result = lesionflow("stop", "third")
    assert (result.code, result.err) == (0, "")
    assert f"The run {runs[2]} is being stopped;" in result.out
    assert api.runs[runs[2]]["state"] == "CANCELING"
    assert "is being stopped already" in lesionflow("stop", "third").out


def test_stop_what_has_ended(runs: list[str], api: KfpApiServer, lesionflow: Command) -> None:
    result = lesionflow("stop", "first")
    assert result.code == 0
    assert "has ended already: it succeeded" in result.out
    assert not any(":terminate" in path for _, path, _ in api.requests)


def test_stop_what_ends_meanwhile(
    runs: list[str], api: KfpApiServer, lesionflow: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = api.route

    def ends_first(method: str, target: str, body: Any) -> Any:
        if ":terminate" in target:
            api.set_run(runs[2], "SUCCEEDED")
        return route(method, target, body)

    monkeypatch.setattr(api, "route", ends_first)
    result = lesionflow("stop", "third")
    assert result.code == 0
    assert "ended before it could be stopped: it succeeded" in result.out


def test_stop_without_the_permission(runs: list[str], api: KfpApiServer, lesionflow: Command) -> None:
    api.forbidden.add(("terminate", "runs"))
    sentence = lesionflow("stop", "third").sentence()
    assert "(403)" in sentence
    assert "verb terminate on runs" in sentence
    assert "manifests/base/submitter.yaml" in sentence
    assert "ResourceAttributes" not in sentence


def test_list_tells_refused_from_stopped(
    runs: list[str], api: KfpApiServer, lesionflow: Command, with_kube: WithKube
) -> None:
    """KFP says FAILED of both; past 1 MB the gate is not even in its details."""
    refused = [*done("gate", "export", "promote"), *work("gate", "Failed", words("gate", "0.5 is below 0.7.", 3))]
    api.set_run(runs[1], "FAILED", details(done(*argo.RECORDED[6:])))
    with_kube(FakeKube(("FAILED", refused), compressed=True))
    assert "refused" in lesionflow("list").out
    with_kube(FakeKube(("FAILED", done(*argo.RECORDED[6:])), message="Stopped with strategy 'Terminate'"))
    assert "stopped" in lesionflow("list").out


def test_secrets_stay_secret(runs: list[str], api: KfpApiServer, lesionflow: Command, caplog: Any) -> None:
    caplog.set_level("DEBUG")
    for command in (("list",), ("status",), ("status", "nothing"), ("logs", "third")):
        api.fail_next("GET", "runs", 401)
        lesionflow(*command)  # asserts that the token is in nothing it says
        lesionflow(*command)
    assert TOKEN not in caplog.text
