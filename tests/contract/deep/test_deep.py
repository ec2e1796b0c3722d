"""`lesionflow doctor --deep` against the stand-in API server; what a real cluster says of it is in no test."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from fake_kube import FakeKube
from in_process import TOKEN, Command, forget_machine, run_here
from kfp_api import argo
from kfp_api.argo import Attempt, Step
from kfp_api.scripted import Scene, words
from kfp_api.server import KfpApiServer
from recordings import recorded

from lesionflow.components.contract.contract import GIVEN, HELD, ON_PURPOSE
from lesionflow.kubeflow.doctor import deep_run
from lesionflow.kubeflow.doctor.deep_checks import CLEANING, NAMES
from lesionflow.kubeflow.runs import run_reader
from lesionflow.pipelines import contract
from lesionflow.runtime import container_images as images
from lesionflow.runtime.container_image import CPU_IMAGE, GPU_IMAGE, LEAN_IMAGE

pytestmark = pytest.mark.slow  # whole runs of the steps

REFUSAL = "The macro-F1 is 0.1, below 0.7."
BEFORE = ("contract", "fingerprint", "ingest", "duplicates", "split", "split-2", "balance")
FAILS = words("contract", f"{ON_PURPOSE}.", 2)
RETRIED = Step("contract-2", "Succeeded", (FAILS, Attempt("Succeeded")))
KILLED = Attempt("Failed", "OOMKilled (exit code 137)", 137)
GIVEN_UP = Step("contract-2", "Failed", (FAILS,))
GATE = Step("gate", "Failed", (words("gate", REFUSAL, 3),))
STARTED: Scene = ("RUNNING", [Step("contract", "Running")])
FIRST: Scene = ("FAILED", [*map(Step, (*BEFORE, "contract-2")), GATE])
REUSED = [Step(task, "Succeeded" if task == "fingerprint" else "Cached") for task in BEFORE]
SECOND: Scene = ("FAILED", [*REUSED, RETRIED, GATE])


class Cluster(FakeKube):
    """Tells of one run after the other, each started and then ended."""

    def __init__(self, api: KfpApiServer, *ends: Scene) -> None:
        super().__init__()
        self._api, self._ends, self._looks = api, ends, dict[str, int]()
        self.retry_policy, self.defaults = "OnError", dict[str, Any]()
        told = [*GIVEN, "store", "swaps"]
        self.hold("contract", told)
        told += ["table", "metrics", "page"]
        self.hold("contract-2", told)
        self.hold("contract-2", [*told, "retry"], attempt=1)

    def hold(self, task: str, checks: list[str], attempt: int = 0) -> None:
        """What a contract step says."""
        step = RETRIED if attempt else Step(task)
        self.logs[argo.pod_of(step, attempt)] = "\n".join(["contract: begins", *(HELD + check for check in checks)])

    def workflow(self, run_id: str) -> dict[str, Any] | None:
        self._looks[run_id] = self._looks.get(run_id, 0) + 1
        number = list(self._looks).index(run_id)
        # The log of the step that runs is asked for after the first look, which is another look.
        state, steps = STARTED if self._looks[run_id] <= 2 else self._ends[number]
        if state != "RUNNING":
            self._api.set_run(run_id, state)
        told = argo.workflow(steps, run_id, {"RUNNING": "Running", "FAILED": "Failed"}[state])
        policy = {"retryStrategy": {"limit": "2", "retryPolicy": self.retry_policy}}
        told.setdefault("spec", {})["templateDefaults"] = self.defaults or policy
        return told


@pytest.fixture(scope="module", autouse=True)
def _compiled_once() -> Generator[None]:
    """Compiling takes a second each time, and what comes of it is the same for the same profile."""
    write, known = deep_run.write_package, dict[str, tuple[str, list[str]]]()

    def write_once(output: Path, name: str, pipeline: Any, pins: Any) -> list[str]:
        key = repr((str(pipeline.pipeline_spec), sorted(pins.items())))
        if key not in known:
            known[key] = ("", write(output, name, pipeline, pins))
            known[key] = (output.read_text(), known[key][1])
        output.write_text(known[key][0])
        return known[key][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deep_run, "write_package", write_once)
        yield


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[KfpApiServer]:
    """The stand-in, which lets this user in; nothing else of the machine is seen, and no time is lost."""
    forget_machine(tmp_path, monkeypatch, 200)
    monkeypatch.setattr(deep_run, "PERIOD", 0.01)
    names = (LEAN_IMAGE, CPU_IMAGE, GPU_IMAGE)
    monkeypatch.setattr(images, "PINS_FILE", tmp_path / "digests.json")
    images.write_pins({name: f"example.com/{name.replace(':', '-')}@sha256:{1:064x}" for name in names})
    with KfpApiServer(token=TOKEN) as server:
        monkeypatch.setenv("KF_PIPELINES_ENDPOINT", server.url)
        monkeypatch.setenv("KFP_EXISTING_TOKEN", TOKEN)
        yield server


@pytest.fixture
def lesionflow(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return lambda *arguments: run_here(arguments, capsys, monkeypatch)


@pytest.fixture
def cluster(api: KfpApiServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Cluster]:
    def use(*ends: Scene) -> Cluster:
        made = Cluster(api, *ends)
        monkeypatch.setattr(run_reader, "KubeRuns", lambda _: made)
        return made

    return use


def rows(text: str) -> dict[str, str]:
    """Name of each check -> its symbol and what was found."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name = next((name for name in sorted(NAMES, key=len, reverse=True) if line[3:].startswith(f"{name} ")), None)
        if name and line[:1] in "✓✗!·":
            found[name] = line[0] + line[3 + len(name) :].strip()
    return found


def test_where_everything_works_there_is_a_line_for_each_and_nothing_is_left(
    api: KfpApiServer, lesionflow: Command, cluster: Callable[..., Cluster]
) -> None:
    cluster(FIRST, SECOND)
    result = lesionflow("doctor", "--deep")
    found = rows(result.out)
    assert (result.code, result.err) == (0, "")
    assert tuple(found) == NAMES
    assert {row[0] for row in found.values()} == {"✓"}
    assert REFUSAL in found["gate"]
    assert "reused 6 steps" in found["cached step"]
    assert f"{len(NAMES)} fine." in result.out
    assert "pipeline lesionflow-contract" in found[CLEANING]
    assert [*api.runs, *api.pipelines, *api.versions, *api.experiments] == []


def test_what_is_sent_is_a_pipeline_of_its_own_with_the_profiles_wishes(
    api: KfpApiServer, lesionflow: Command, cluster: Callable[..., Cluster]
) -> None:
    cluster(FIRST, SECOND)
    assert lesionflow("doctor", "--deep", "--profile", "cpu-only", "--service-account", "mine").code == 0
    sent = [body for method, path, body in api.requests if method == "POST" and path.endswith("/runs")]
    nonces = {body["runtime_config"]["parameters"]["nonce"] for body in sent}
    assert (len(sent), len(nonces)) == (2, 1)
    assert {body["service_account"] for body in sent} == {"mine"}
    (upload,) = [body["uploadfile"] for _, path, body in api.requests if "/upload_version" in path]
    assert "AWS_ENDPOINT_URL_S3" in upload
    assert "lesionflow:lean" not in upload


def test_a_parameter_that_arrives_otherwise_is_one_cross_and_the_rest_is_skipped(
    api: KfpApiServer, lesionflow: Command, cluster: Callable[..., Cluster]
) -> None:
    failed = Step("contract", "Failed", (words("contract", "The parameter share arrived as 0.", 2),))
    kube = cluster(("FAILED", [failed, *(Step(task, "Omitted") for task in ("fingerprint", "ingest", "gate"))]))
    kube.logs[argo.pod_of(failed)] = f"{HELD}text\n{HELD}whole\n"
    result = lesionflow("doctor", "--deep")
    found = rows(result.out)
    assert result.code == 1
    assert found["integer"][0] == "✓"
    assert found["number"] == "✗contract failed: The parameter share arrived as 0"
    assert [found[name][0] for name in ("true or false", "object store", "data", "gate", "cached step", "retry")] == [
        "·"
    ] * 6
    assert found["artifact"] == "·skipped: duplicates did not come to its end, as contract failed"
    assert not api.runs


@pytest.mark.parametrize(
    ("end", "name", "sentence"),
    [
        ([*map(Step, BEFORE[:4]), Step("split", "Failed", (Attempt("Failed", "main: Error (exit code 1)", 1),))],
         "optional, left out", "split failed: main: Error"),
        ([*map(Step, BEFORE), Step("contract-2", "Failed", (words("contract", "The metric arrived as {}.", 2),))],
         "metric", "contract-2 failed: The metric arrived as {}"),
        ([*map(Step, (*BEFORE, "contract-2")), Step("gate", "Failed", (KILLED,))],
         "gate", "its refusal does not look like one"),
    ],
)  # fmt: skip
def test_what_does_not_work_is_a_cross_with_a_hint(
    end: list[Step], name: str, sentence: str, lesionflow: Command, cluster: Callable[..., Cluster]
) -> None:
    kube = cluster(("FAILED", end), SECOND)
    kube.hold("contract-2", [*GIVEN, "store", "swaps", "table"])
    result = lesionflow("doctor", "--deep")
    found = rows(result.out)
    assert result.code == 1
    assert found[name].startswith(f"✗{sentence}")
    after = result.out.split(found[name][1:])[1]
    assert after.lstrip().startswith("→ ")
    assert found["text"][0] == "✓"


def test_steps_that_run_again_though_nothing_changed_are_a_cross(
    lesionflow: Command, cluster: Callable[..., Cluster]
) -> None:
    cluster(FIRST, FIRST)
    result = lesionflow("doctor", "--deep")
    assert result.code == 1
    assert rows(result.out)["cached step"].startswith("✗unchanged steps ran again in a second run: contract, ingest")


@pytest.mark.parametrize(
    ("policy", "symbol", "code"), [("OnError", "!", 0), ("OnTransientError", "!", 0), ("Always", "✗", 1), ("", "✗", 1)]
)
def test_a_step_that_is_not_tried_again_is_said_with_argos_reason(
    policy: str, symbol: str, code: int, lesionflow: Command, cluster: Callable[..., Cluster]
) -> None:
    """Kubeflow 2.17 ships Argo with OnError, by which a deleted pod is tried again and a failed one is not."""
    kube = cluster(FIRST, ("FAILED", [*REUSED, GIVEN_UP]))
    kube.retry_policy = policy
    kube.hold("contract-2", [*GIVEN, "store", "swaps", "table", "metrics", "page"])
    result = lesionflow("doctor", "--deep")
    found = rows(result.out)
    assert result.code == code
    assert found["retry"][0] == symbol
    assert found["cached step"][0] == found["gate"][0] == "✓"
    assert (policy and policy in result.out) or policy in ("", "Always")


def test_the_policy_is_where_a_real_workflow_has_it(lesionflow: Command, cluster: Callable[..., Cluster]) -> None:
    defaults = recorded("kubernetes/workflow-refused.json.gz")["spec"]["templateDefaults"]
    assert defaults["retryStrategy"]["retryPolicy"] == "OnError"
    kube = cluster(FIRST, ("FAILED", [*REUSED, GIVEN_UP]))
    kube.defaults = defaults
    kube.hold("contract-2", [*GIVEN, "store", "swaps", "table", "metrics", "page"])
    assert rows(lesionflow("doctor", "--deep").out)["retry"][0] == "!"


def test_without_kubernetes_the_log_of_a_running_step_is_a_cross_and_what_kfp_tells_is_used(
    api: KfpApiServer, lesionflow: Command
) -> None:
    """KFP's API tells no exit status and no log of a running step; so does the real one."""
    looks = 0

    def advance() -> None:
        nonlocal looks
        method, path, _ = api.requests[-1]
        if method == "GET" and "/runs/" in path and "/log" not in path:
            looks += 1
            for number, run_id in enumerate(api.runs):
                state, steps = STARTED if looks <= 3 else (FIRST, SECOND)[number]
                phase = {"RUNNING": "Running", "FAILED": "Failed"}[state]
                api.set_run(run_id, state, argo.details(argo.nodes(steps, argo.NAME, phase).values()))

    api.after_request = advance
    result = lesionflow("doctor", "--deep")
    found = rows(result.out)
    assert result.code == 1
    assert found["log, running step"].startswith("✗it cannot be read")
    assert found["retry"][0] == found["optional, left out"][0] == "✓"


def test_a_cluster_that_deletes_nothing_is_no_fault_but_said(
    api: KfpApiServer, lesionflow: Command, cluster: Callable[..., Cluster]
) -> None:
    cluster(FIRST, SECOND)
    api.fail_next("DELETE", "/runs/", 401, times=2)
    result = lesionflow("doctor", "--deep")
    assert result.code == 0
    assert rows(result.out)[CLEANING].startswith("✓left: run ")
    assert result.out.count("does not know who asks (401)") == 1, "both runs have one reason"
    assert all(run_id in result.out for run_id in api.runs)
    assert len(api.runs) == 2


def test_what_others_use_is_kept(api: KfpApiServer, lesionflow: Command, cluster: Callable[..., Cluster]) -> None:
    cluster(FIRST, SECOND)
    route = api.route

    def with_a_colleague(method: str, target: str, body: Any) -> Any:
        answer = route(method, target, body)
        if method == "POST" and target.endswith("/runs") and len(api.runs) == 1:
            route(method, target, {**body, "display_name": "a colleague's"})
        return answer

    api.route = with_a_colleague  # type: ignore[method-assign]
    result = lesionflow("doctor", "--deep")
    assert result.code == 0
    assert "other runs use them" in rows(result.out)[CLEANING]
    assert [run["display_name"] for run in api.runs.values()] == ["a colleague's"]
    assert api.pipelines
    assert api.experiments


def test_a_run_that_never_starts_ends_after_its_time_with_the_reason(
    api: KfpApiServer, lesionflow: Command, cluster: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    kube = cluster()
    monkeypatch.setattr(deep_run, "LIMIT", 0.05)
    monkeypatch.setattr(kube, "workflow", lambda run_id: argo.workflow([], run_id, "Running"))
    monkeypatch.setattr(kube, "why_pending", lambda run_id: ["contract waits: 0/1 nodes are available."])
    result = lesionflow("doctor", "--deep")
    found = rows(result.out)
    assert result.code == 1
    assert found["run"].startswith("✗the run did not end in time: contract waits: 0/1 nodes are available")
    assert not api.runs


def test_kfp_out_of_reach_is_one_sentence(lesionflow: Command, api: KfpApiServer) -> None:
    result = lesionflow("doctor", "--deep", "--endpoint", "http://127.0.0.1:9")
    assert "127.0.0.1:9" in result.sentence()
    assert result.out == ""


def test_images_without_a_digest_are_refused_before_anything_is_sent(lesionflow: Command, api: KfpApiServer) -> None:
    images.PINS_FILE.unlink()
    result = lesionflow("doctor", "--deep")
    assert "not pinned by digest" in result.sentence()
    assert api.requests == []


def test_every_line_has_a_name_that_fits() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert max(map(len, NAMES)) <= 20
    assert set(contract.OWN) <= set(contract.TASKS)
