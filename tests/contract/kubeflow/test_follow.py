"""`lesionflow submit --wait`: what is shown of a run whose states a test scripts, and the exit codes.

Most runs here are told of by KFP's API alone, as to somebody without access to Kubernetes; those with `FakeKube` by
Argo's Workflow. Both are made of the same steps by `kfp_api.argo`, which is held to the recordings.
"""

import io
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from fake_kube import FakeKube
from in_process import Command
from kfp_api import argo
from kfp_api.scripted import Attempt, Step, done, lines_of, play, words, work
from kfp_api.server import KfpApiServer
from kube_api.objects import pod
from kube_api.server import KubeApiServer

from lesionflow.kubeflow.kube.cluster_access import Denied
from lesionflow.kubeflow.runs import follow, waiting
from lesionflow.pipelines import cross_validation

WAIT = ("submit", "--data", "gs://bucket/data", "--registry", "gs://bucket/registry", "--wait")
FOLDS = ("submit", "--data", "gs://bucket/data", "--folds", "2", "--wait")
BROKEN = Attempt("Failed", "main: Error (exit code 1)", 1)
"""How Argo tells of every step that failed without last words: the code is of KFP's launcher."""
REFUSED = [*done("gate", "export", "promote"), *work("gate", "Failed", BROKEN), *work("export", "Omitted")]
WithKube = Callable[[FakeKube], FakeKube]

pytestmark = pytest.mark.usefixtures("pinned")


def log_when_started(api: KfpApiServer, step: str, text: str) -> None:
    """What the log endpoint tells of a step's pod of whatever run is created next."""
    route = api.route

    def also_log(method: str, target: str, body: Any) -> Any:
        for run_id in api.runs:
            api.set_log(run_id, argo.pod_of(Step(step)), text)
        return route(method, target, body)

    api.route = also_log  # type: ignore[method-assign]


def test_a_run_that_passes(api: KfpApiServer, lesionflow: Command) -> None:
    reused = [*work("preflight"), *work("fingerprint"), *work("ingest", "Cached")]
    play(
        api,
        ("PENDING", []),
        ("RUNNING", [*work("preflight"), *work("fingerprint", "Running")]),
        ("RUNNING", [*reused, *work("split", "Running")]),
        ("SUCCEEDED", [*reused, *done("ingest", "fingerprint", "preflight")]),
    )
    result = lesionflow(*WAIT)
    assert (result.code, result.err) == (0, "")
    lines = lines_of(result.out)
    assert lines[1] == ["✓", "fingerprint", "done", "10.0", "s"]
    assert lines[2] == ["↻", "ingest", "reused"]
    assert [line[1] for line in lines] == [
        "preflight", "fingerprint", "ingest", "duplicates", "split", "balance", "finetune-head", "finetune-partial",
        "finetune-full", "evaluate", "gate", "export", "promote",
    ]  # fmt: skip
    assert "Passed: the gate let the model through; it is in gs://bucket/registry" in result.out


@pytest.mark.parametrize("kube", [False, True])
def test_a_cross_validation_shows_its_own_steps_from_the_start(
    api: KfpApiServer, lesionflow: Command, with_kube: WithKube, monkeypatch: pytest.MonkeyPatch, kube: bool
) -> None:
    shown: list[list[str]] = []
    watch = follow.RunDisplay.watch
    monkeypatch.setattr(
        follow.RunDisplay, "watch", lambda self, events: (shown.append(list(events.steps)), watch(self, events))
    )
    before = [Step(task) for task in argo.BEFORE]
    in_folds = [Step(task, fold=fold) for fold in range(2) for task in argo.LOOPED]
    first = [Step("split", fold=0), Step("split", "Running", fold=1)]
    refused = [Step("pool"), *work("gate", "Failed", words("gate", "macro-F1 0.5 is below 0.7.", 3))]
    scenes = [
        ("RUNNING", before[:1]),
        ("RUNNING", [*before, *first]),
        ("FAILED", [*before, *in_folds, *refused]),
    ]
    if kube:
        with_kube(FakeKube(*scenes, folds=2, compressed=True))
    play(api, *scenes, folds=2)
    result = lesionflow(*FOLDS)
    assert (result.code, result.err) == (3, "")
    names = list(cross_validation.TASKS.values())
    assert all(steps == names for steps in shown)
    lines = lines_of(result.out)
    assert [line[1] for line in lines] == names
    assert lines[3] == ["✓", "split", "done", "20.0", "s", "done", "in", "2", "of", "2", "folds"]
    if kube:
        assert "Refused: macro-F1 0.5 is below 0.7. Nothing was promoted." in result.out

    passed = [("SUCCEEDED", [*before, *in_folds, Step("pool"), Step("gate")])]
    if kube:
        with_kube(FakeKube(*passed, folds=2, compressed=True))
    play(api, *passed, folds=2)
    result = lesionflow(*FOLDS)
    assert result.code == 0
    assert "Passed: the gate let the method through; a cross-validation promotes nothing." in result.out


def test_a_run_that_is_refused(api: KfpApiServer, lesionflow: Command, with_kube: WithKube) -> None:
    """The verdict is read from the gate's last words, and never from a log."""
    gate = work("gate", "Failed", words("gate", "macro-F1 0.512 is below 0.7.", 3))
    with_kube(FakeKube(("FAILED", [*done("gate", "export", "promote"), *gate])))
    result = lesionflow(*WAIT)
    assert result.code == 3
    assert "Refused: macro-F1 0.512 is below 0.7. Nothing was promoted." in result.out
    assert ["✗", "gate", "failed", "10.0", "s"] in lines_of(result.out)
    assert not any("/log" in path for _, path, _ in api.requests)


@pytest.mark.parametrize("kube", [False, True])
def test_a_refusal_whose_log_is_out_of_reach(
    api: KfpApiServer, lesionflow: Command, with_kube: WithKube, kube: bool
) -> None:
    if kube:
        with_kube(FakeKube(("FAILED", REFUSED)))
    play(api, ("FAILED", REFUSED))
    result = lesionflow(*WAIT)
    assert result.code == 3
    assert "Refused: The gate refused the model; its log says why." in result.out
    assert not any("/log" in path for _, path, _ in api.requests)


@pytest.mark.parametrize(
    ("ended", "code", "says"),
    [
        (words("gate", "MemoryError: ", 1), 1, "Failed: The step gate failed: MemoryError:."),
        (words("gate", "e.json contradicts itself; run evaluate again.", 2), 2, "Failed: e.json contradicts itself;"),
        (Attempt("Failed", "main: Error (exit code 137)", 137), 1, "Failed: The step gate failed"),
    ],
)
def test_a_gate_that_fails_without_refusing(
    api: KfpApiServer, lesionflow: Command, with_kube: WithKube, ended: Attempt, code: int, says: str
) -> None:
    with_kube(FakeKube(("FAILED", [*done("gate", "export", "promote"), *work("gate", "Failed", ended)])))
    result = lesionflow(*WAIT)
    assert result.code == code
    assert says in result.out
    assert "Refused" not in result.out


LOST = Attempt("Error", "pod deleted")
KILLED = Attempt("Failed", "main: OOMKilled (exit code 137)", 137)
LATE = Attempt("Failed", "Pod was active on the node longer than the specified deadline")


@pytest.mark.parametrize(
    "gate", [work("gate", "Failed", pod) for pod in (KILLED, LOST, LATE)] + [work("gate", "NoDriver")]
)
def test_a_gate_that_was_killed_or_never_ran(
    api: KfpApiServer, lesionflow: Command, with_kube: WithKube, gate: list[Step]
) -> None:
    kube = with_kube(FakeKube(("FAILED", [*done("gate", "export", "promote"), *gate])))
    assert lesionflow(*WAIT).code == 1
    assert kube.looks


def test_a_gate_that_never_ran_as_kfp_tells_of_it(api: KfpApiServer, lesionflow: Command) -> None:
    play(api, ("FAILED", [*done("gate", "export", "promote"), *work("gate", "NoDriver")]))
    result = lesionflow(*WAIT)
    assert result.code == 1
    assert "Failed: The step gate failed: its driver failed." in result.out


@pytest.mark.parametrize(
    ("log", "code", "says"),
    [
        ("split: there are no images.\nF0301 exit status 2\n", 2, "Failed: there are no images."),
        ("F0301 exit status 1\n", 1, "Failed: The step split failed: its log says why."),
        ("split: there are 3 images.\nF0301 exit status 3\n", 1, "Failed: The step split failed: there are 3 images."),
    ],
)
def test_a_step_that_fails(api: KfpApiServer, lesionflow: Command, log: str, code: int, says: str) -> None:
    log_when_started(api, "split", log)
    tasks = [*work("fingerprint"), *work("ingest"), *work("split", "Failed", BROKEN)]
    play(api, ("RUNNING", []), ("FAILED", tasks))
    result = lesionflow(*WAIT)
    assert result.code == code
    assert says in result.out
    assert f"lesionflow logs {next(iter(api.runs))}" in result.out


@pytest.mark.parametrize(
    ("step", "sentence", "status", "code", "says"),
    [
        ("gate", "macro-F1 0.5 is below 0.7.", 3, 3, "Refused: macro-F1 0.5 is below 0.7. Nothing was promoted."),
        ("gate", "e.json contradicts itself.", 2, 2, "Failed: e.json contradicts itself."),
        ("gate", "MemoryError: 3 GB", 1, 1, "Failed: The step gate failed: MemoryError: 3 GB."),
        ("split", "there are no images.", 2, 2, "Failed: there are no images."),
        ("split", "ValueError: 3", 1, 1, "Failed: The step split failed: ValueError: 3."),
    ],
)
def test_last_words_decide_without_any_log(
    api: KfpApiServer,
    lesionflow: Command,
    with_kube: WithKube,
    step: str,
    sentence: str,
    status: int,
    code: int,
    says: str,
) -> None:
    """They stand in the Workflow; that the pod, its log and KFP's details are gone does not matter."""
    after = argo.RECORDED[argo.RECORDED.index(step) :]
    kube = with_kube(
        FakeKube(("FAILED", [*done(*after), *work(step, "Failed", words(step, sentence, status))]), compressed=True)
    )
    result = lesionflow(*WAIT)
    assert (result.code, result.err) == (code, "")
    assert says in result.out
    assert kube.looks
    assert not any("/log" in path for _, path, _ in api.requests)


def test_a_run_past_a_megabyte_is_followed_to_its_end(
    api: KfpApiServer, lesionflow: Command, with_kube: WithKube
) -> None:
    """KFP's details stay where they were; Argo's compressed nodes go on."""
    halfway = [*done(*argo.RECORDED[5:]), *work("finetune", "Running")]
    with_kube(FakeKube(("RUNNING", halfway), ("SUCCEEDED", done()), compressed=True))
    play(api, ("RUNNING", halfway))
    result = lesionflow(*WAIT)
    assert (result.code, result.err) == (0, "")
    assert [line[2] for line in lines_of(result.out)] == ["done"] * 13


def test_stale_details_are_not_taken_for_the_truth(api: KfpApiServer, lesionflow: Command) -> None:
    """Without Kubernetes, of a run that passed 1 MB: what is not known is said, and not shown as done in 0.0 s."""
    halfway = [*done(*argo.RECORDED[5:]), *work("finetune", "Running")]
    play(api, ("RUNNING", halfway))
    advance, looks = api.after_request, iter(range(9))

    def ends_without_news() -> None:
        advance()
        if api.runs and api.requests[-1][0] == "GET" and "/runs/" in api.requests[-1][1] and next(looks) == 3:
            for run_id in api.runs:
                api.set_run(run_id, "SUCCEEDED")

    api.after_request = ends_without_news
    result = lesionflow(*WAIT)
    assert result.code == 0
    lines = lines_of(result.out)
    assert [line[2] for line in lines] == ["done"] * 13
    assert " ".join(lines[6]) == "✓ finetune-head done not known: the run's record had passed 1 MB"
    assert " 0.0 s" not in result.out


def test_a_step_whose_pod_is_pending_is_not_running(
    api: KfpApiServer, lesionflow: Command, with_kube: WithKube, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    watch = follow.RunDisplay.watch
    monkeypatch.setattr(
        follow.RunDisplay,
        "watch",
        lambda self, events: (seen.append(events.steps["finetune-head"].status), watch(self, events)),
    )
    before = done(*argo.RECORDED[5:])
    scenes = [("RUNNING", [*before, *work("finetune", phase)]) for phase in ("Driving", "Pending", "Running")]
    play(api, *scenes, ("SUCCEEDED", done()))
    assert lesionflow(*WAIT).code == 0
    told_by_api = list(dict.fromkeys(seen))
    seen.clear()
    with_kube(FakeKube(*scenes, ("SUCCEEDED", done())))
    assert lesionflow(*WAIT).code == 0
    assert told_by_api == list(dict.fromkeys(seen)) == ["waiting", "running", "done"]


def test_a_step_that_lost_its_pod_says_so_and_goes_on(
    api: KfpApiServer, lesionflow: Command, with_kube: WithKube
) -> None:
    before = done(*argo.RECORDED[5:])
    with_kube(
        FakeKube(
            ("RUNNING", [*before, *work("finetune", "Running", LOST, Attempt("Pending"))]),
            ("RUNNING", [*before, *work("finetune", "Running", LOST, Attempt("Running"))]),
            (
                "SUCCEEDED",
                [*before, *work("finetune", "Succeeded", LOST, Attempt("Succeeded")), *done(*argo.RECORDED[:6])],
            ),
        )
    )
    result = lesionflow(*WAIT)
    assert result.code == 0
    assert result.out.count("finetune-head lost its pod (pod deleted) and goes on in another, attempt 2.") == 1
    assert any(
        line[1] == "finetune-head" and " ".join(line).endswith("attempt 2, 1 lost its pod")
        for line in lines_of(result.out)
    )


@pytest.mark.parametrize(
    ("message", "says"),
    [
        # Recorded on a real cluster: a pod that was deleted, and used its time to end.
        ("main: Error (exit code 143)", "goes on at its checkpoint if --checkpoints was given."),
        (
            "main: Error (exit code 1): finetune-head: Stopped by SIGTERM after epoch 1 of 5. (exit status 143)",
            "goes on at its checkpoint if --checkpoints was given.",
        ),
    ],
)
def test_a_step_whose_pod_was_deleted_and_not_tried_again(
    lesionflow: Command, api: KfpApiServer, with_kube: WithKube, message: str, says: str
) -> None:
    ended = Attempt("Failed", message, 143)
    with_kube(FakeKube(("FAILED", [*done(*argo.RECORDED[5:]), *work("finetune", "Failed", ended)])))
    result = lesionflow(*WAIT)
    assert result.code == 1
    assert "Failed: The step finetune-head was ended from outside" in result.out
    assert says in result.out


@pytest.mark.parametrize("kube", [False, True])
def test_a_run_that_is_stopped_elsewhere(
    api: KfpApiServer, lesionflow: Command, with_kube: WithKube, kube: bool
) -> None:
    """KFP says FAILED of a run that somebody stopped; the Workflow says why."""
    if kube:
        ended = Attempt("Failed", "main: Error (exit code 143)", 143)
        with_kube(
            FakeKube(("FAILED", work("fingerprint", "Failed", ended)), message="Stopped with strategy 'Terminate'")
        )
    play(api, ("CANCELING", work("fingerprint", "Running")), ("FAILED", work("fingerprint", "Failed")))
    result = lesionflow(*WAIT)
    assert result.code == 1
    assert "Failed: The run was stopped." in result.out


def test_a_run_that_fails_before_any_step(api: KfpApiServer, lesionflow: Command) -> None:
    play(api, ("FAILED", []))
    result = lesionflow(*WAIT)
    assert result.code == 1
    assert "Failed: The run failed: no step of it did." in result.out


@pytest.mark.parametrize("fault", [429, 500, "drop"])
def test_an_api_that_is_away_for_a_while(api: KfpApiServer, lesionflow: Command, fault: Any) -> None:
    play(api, ("RUNNING", []), ("RUNNING", work("fingerprint", "Running")), ("SUCCEEDED", done()))
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


def interrupted(monkeypatch: pytest.MonkeyPatch, answer: Callable[[], str] | None) -> None:
    """Ctrl-C in the first pause; with `answer`, on a terminal whose user says that when asked."""

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    if answer is not None:
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr("rich.console.Console.is_terminal", True)
        monkeypatch.setattr("builtins.input", answer)


def test_ctrl_c_without_a_terminal_leaves_the_run_alone(
    api: KfpApiServer, lesionflow: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(monkeypatch, None)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    result = lesionflow(*WAIT)
    (run,) = api.runs.values()
    assert result.code == 130
    assert f"The run goes on. Look again with: lesionflow status {run['run_id']}; " in result.out
    assert f"stop it with: lesionflow stop {run['run_id']}" in result.out
    assert run["state"] == "PENDING"


def test_ctrl_c_on_a_terminal_asks_and_stops(
    api: KfpApiServer, lesionflow: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(monkeypatch, lambda: "y")
    result = lesionflow(*WAIT)
    (run,) = api.runs.values()
    assert result.code == 130
    assert f"Stop the run {run['run_id']}?" in result.out
    assert "is being stopped" in result.out
    assert "goes on." not in result.out
    assert run["state"] == "CANCELING"


@pytest.mark.parametrize("answer", ["n", "", "what?", KeyboardInterrupt, EOFError])
def test_ctrl_c_and_anything_but_yes_leaves_the_run_alone(
    api: KfpApiServer, lesionflow: Command, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    def say() -> str:
        if isinstance(answer, str):
            return answer
        raise answer

    interrupted(monkeypatch, say)
    result = lesionflow(*WAIT)
    (run,) = api.runs.values()
    assert result.code == 130
    assert "The run goes on." in result.out
    assert run["state"] == "PENDING"


@pytest.fixture
def kube(kubernetes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[KubeApiServer]:
    """A real Kubernetes, reached by the kubeconfig of who may submit to the namespace `kubeflow`."""
    with KubeApiServer(kubernetes, "kubeflow") as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path)))
        yield server


def add_when_started(api: KfpApiServer, kube: KubeApiServer, step: str, **status: Any) -> None:
    route, added = api.route, list[str]()

    def also_pod(method: str, target: str, body: Any) -> Any:
        if api.runs and not added:
            added.append(step)
            kube.add("pods", pod(f"lesionflow-{step}", "kubeflow", next(iter(api.runs)), step, **status))
        return route(method, target, body)

    api.route = also_pod  # type: ignore[method-assign]


def test_why_a_pod_waits(
    api: KfpApiServer, kube: KubeApiServer, lesionflow: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said once, however often it is asked."""
    monkeypatch.setattr(waiting, "PERIOD", 0.0)
    message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    add_when_started(api, kube, "finetune", phase="Pending", conditions=[condition])
    play(api, ("RUNNING", work("finetune", "Pending")), ("RUNNING", []), ("SUCCEEDED", done()))
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


def test_what_is_not_known_without_kubernetes_is_said_once(api: KfpApiServer, lesionflow: Command) -> None:
    play(api, ("RUNNING", work("fingerprint")), ("RUNNING", work("fingerprint")), ("SUCCEEDED", done()))
    out = lesionflow(*WAIT).out
    assert out.count("Kubernetes does not tell of this run (There is no kubeconfig at") == 1
    assert "why pods wait" in out
    assert "1 MB" in out


@pytest.mark.parametrize("how", ["denied", "gone", "damaged"])
def test_kubernetes_that_tells_nothing_is_done_without(
    api: KfpApiServer, lesionflow: Command, with_kube: WithKube, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    kube = with_kube(FakeKube())
    if how == "denied":
        kube.error = Denied("workflows is forbidden")
    elif how == "damaged":
        broken = {"metadata": {"name": "w"}, "status": {"phase": "Running", "compressedNodes": "H4sIAAA"}}
        monkeypatch.setattr(kube, "workflow", lambda _: broken)
    play(api, ("RUNNING", work("fingerprint")), ("SUCCEEDED", done()))
    result = lesionflow(*WAIT)
    assert result.code == 0
    assert [line[2] for line in lines_of(result.out)] == ["done"] * 13
    reason = {"denied": "workflows is forbidden", "gone": "no Workflow of it", "damaged": "are damaged"}[how]
    assert result.out.count(reason) == 1
