"""`lesionflow submit` against the stand-in API server (`kfp_api`), with the real kfp client over real HTTP."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from in_process import Command
from kfp_api.server import Fault, KfpApiServer

from lesionflow.kubeflow import submission as module
from lesionflow.preflight import starting_weights

ARGUMENTS = ("submit", "--data", "gs://bucket/data", "--registry", "gs://bucket/registry")
NAMED = (*ARGUMENTS, "--run-name", "mine")
FAULTS: tuple[Fault, ...] = (401, 404, 409, 429, 500, "drop", "drop-after")
HAPPY_PATH = (
    ("GET", "/apis/v2beta1/healthz"),
    ("GET", "/apis/v2beta1/pipelines"),
    ("POST", "/apis/v2beta1/pipelines"),
    ("GET", "/apis/v2beta1/pipelines/ID/versions"),
    ("POST", "/apis/v2beta1/pipelines/upload_version"),
    ("GET", "/apis/v2beta1/experiments"),
    ("POST", "/apis/v2beta1/experiments"),
    ("GET", "/apis/v2beta1/runs"),
    ("POST", "/apis/v2beta1/runs"),
)

pytestmark = pytest.mark.usefixtures("pinned")


def paths(api: KfpApiServer) -> list[tuple[str, str]]:
    identifier = r"[0-9a-f]{8}-[0-9a-f-]{27}"
    return [(method, re.sub(identifier, "ID", urlsplit(target).path)) for method, target, _ in api.requests]


def only(store: dict[str, Any]) -> Any:
    assert len(store) == 1
    return next(iter(store.values()))


def test_everything_is_sent_once(api: KfpApiServer, lesionflow: Command) -> None:
    result = lesionflow(*ARGUMENTS, "--min-f1", "0.65", "--seed", "7", "--pipeline-root", "s3://bucket/root")

    assert (result.code, result.err) == (0, "")
    assert tuple(paths(api)) == HAPPY_PATH
    run, version = only(api.runs), only(api.versions)
    assert f"{api.url}/#/runs/details/{run['run_id']}" in result.out
    assert only(api.pipelines)["display_name"] == "lesionflow-training-generic"
    assert re.fullmatch(r"0\.1\.0-[0-9a-f]{8}", version["name"])
    assert only(api.experiments)["display_name"] == "lesionflow"
    assert run["pipeline_version_reference"]["pipeline_version_id"] == version["pipeline_version_id"]
    assert run["service_account"] == "lesionflow"
    assert run["runtime_config"]["pipeline_root"] == "s3://bucket/root"
    parameters = run["runtime_config"]["parameters"]
    assert parameters == {
        "recipe": "published",
        "source": "gs://bucket/data",
        "registry": "gs://bucket/registry",
        "checkpoints": "",
        "duplicate_pairs": "",
        "fixed_test": "",
        "leak_guard": True,
        "weights": "imagenet",
        "seed": 7,
        "policy": "{clauses: [{kind: average, metric: macro_f1, at_least: 0.65}]}",
        "taxonomy": "ham10000",
    }


def test_nothing_is_uploaded_twice(api: KfpApiServer, lesionflow: Command) -> None:
    assert lesionflow(*ARGUMENTS).code == 0
    assert lesionflow(*ARGUMENTS).code == 0
    assert len(api.runs) == 2
    only(api.versions), only(api.pipelines), only(api.experiments)


def test_another_profile_is_another_pipeline(api: KfpApiServer, lesionflow: Command) -> None:
    assert lesionflow(*ARGUMENTS).code == 0
    assert lesionflow(*ARGUMENTS, "--profile", "cpu-only").code == 0
    names = {pipeline["display_name"] for pipeline in api.pipelines.values()}
    assert names == {"lesionflow-training-generic", "lesionflow-training-cpu-only"}
    first, second = api.runs.values()
    assert len(api.versions) == 2
    assert first["pipeline_version_reference"] != second["pipeline_version_reference"]


def test_the_digest_is_of_the_content_only() -> None:
    text = "root: {}\npipelineInfo: {name: x}\nsdkVersion: kfp-2.17.0\n---\nplatforms: {a: 1}\n"
    same = "pipelineInfo:\n  name: x\nroot: {}\nsdkVersion: kfp-2.18.0\n---\nplatforms: {a: 1}\n"
    other = text.replace("a: 1", "a: 2")
    digest, same_digest, other_digest = (
        module.package_digest(list(yaml.safe_load_all(written))) for written in (text, same, other)
    )
    assert digest == same_digest != other_digest


@pytest.fixture(scope="module")
def _prepared() -> list[module.Submission]:
    return []


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch, _prepared: list[module.Submission]) -> None:
    """Compiled and digested once for all the tests that only differ in what happens on the way."""
    prepare = module.prepare_submission

    def prepare_once(*arguments: Any) -> module.Submission:
        if not _prepared:
            _prepared.append(prepare(*arguments))
        return _prepared[0]

    monkeypatch.setattr(module, "prepare_submission", prepare_once)


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("index", range(len(HAPPY_PATH)))
def test_any_request_may_fail_once(api: KfpApiServer, lesionflow: Command, index: int, fault: Fault) -> None:
    """Success or one sentence, never two runs; and the same command then succeeds, or finds its run."""
    fail_at(api, index, fault, times=1)

    result = lesionflow(*NAMED)

    method = HAPPY_PATH[index][0]
    if fault in (401, 404) or (fault == 409 and method == "GET"):
        result.sentence()
        assert result.code == 2
        assert len(api.runs) == 0
    else:
        assert (result.code, result.err) == (0, "")
        assert len(api.runs) == 1

    again = lesionflow(*NAMED)
    assert again.code == (2 if result.code == 0 else 0)
    assert result.code == 2 or "There is a run 'mine' already" in again.err
    only(api.runs), only(api.versions), only(api.pipelines), only(api.experiments)


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("fault", [429, 500, "drop", "drop-after"])
@pytest.mark.parametrize("index", range(len(HAPPY_PATH)))
def test_any_request_may_fail_for_long(api: KfpApiServer, lesionflow: Command, index: int, fault: Fault) -> None:
    fail_at(api, index, fault, times=1000)

    result = lesionflow(*NAMED)

    lost_answer = fault == "drop-after" and HAPPY_PATH[index][0] == "POST"  # a look shows that it took effect
    assert result.code == (0 if lost_answer else 1)
    if not lost_answer:
        result.sentence()
    assert len(api.runs) <= 1


def fail_at(api: KfpApiServer, index: int, fault: Fault, times: int) -> None:
    """Let the request at `index` of the happy path fail, and its repetitions."""
    method, path = HAPPY_PATH[index]

    def arm() -> None:
        if len(api.requests) == index:
            api.fail_next(method, f"^{path.replace('ID', '[^/]+')}(\\?|$)", fault, times)

    api.after_request = arm
    arm()


def test_the_last_try_may_have_taken_effect(api: KfpApiServer, lesionflow: Command) -> None:
    api.fail_next("POST", "/runs", "drop", times=3)
    api.fail_next("POST", "/runs", "drop-after", times=1)
    assert lesionflow(*ARGUMENTS).code == 0
    only(api.runs)


def test_whether_the_run_started_is_unknown(api: KfpApiServer, lesionflow: Command) -> None:
    """The answer is lost, and the server is gone when asked again."""

    def gone() -> None:
        if api.runs:
            api.fail_next("GET", "/runs", "drop", times=1000)

    api.after_request = gone
    api.fail_next("POST", "/runs", "drop-after")

    result = lesionflow(*ARGUMENTS)

    name = only(api.runs)["display_name"]
    assert f"--run-name {name}, which never starts a second one" in result.sentence()
    assert result.code == 1


def test_images_must_be_pinned(
    api: KfpApiServer, lesionflow: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lesionflow.runtime.container_images.PINS_FILE", tmp_path / "none.json")
    result = lesionflow(*ARGUMENTS, "--endpoint", api.url)
    assert result.code == 2
    assert "not pinned by digest" in result.sentence()
    assert "make images REPOSITORY=" in result.err
    assert api.requests == []
    plan = lesionflow(*ARGUMENTS, "--endpoint", api.url, "--dry-run")
    assert plan.code == 0
    assert "it would be refused" in plan.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--data", "data/ham10000"), "--data data/ham10000 is a path of this machine, which pods cannot see"),
        (("--data", "file:///data"), "--data file:///data is a path of this machine"),
        (("--data", "https://example.com/d"), "not an address lesionflow can read"),
        (("--data", "gs://"), "names no bucket"),
        (("--registry", "/registry"), "--registry /registry"),
        (("--checkpoints", "checkpoints"), "--checkpoints checkpoints"),
        (("--weights", "weights.h5"), "expected imagenet, none, gs://"),
        (("--weights", "/opt/weights/../../etc/passwd"), "leads out of its folder"),
        (("--weights", "/opt/weights/none.h5"), "The images hold no /opt/weights/none.h5"),
        (("--recipe", '{"backbone": "tiny"}'), "'tiny' has no ImageNet weights"),
        (("--pipeline-root", "/root"), "--pipeline-root /root"),
        (("--min-f1", "1.5"), "above 0 and not above 1"),
        (("--metric", "f2"), "cannot judge by 'f2'"),
        (("--policy", "none.yaml"), "There is no policy 'none.yaml'"),
        (("--policy", "default", "--min-f1", "0.6"), "leave these out"),
        (("--recipe", "none.yaml"), "There is no recipe 'none.yaml'"),
        (("--profile", "none.yaml"), "There is no cluster profile 'none.yaml'"),
    ],
)
def test_bad_input_is_said_before_anything_is_sent(
    api: KfpApiServer, lesionflow: Command, arguments: tuple[str, ...], words: str
) -> None:
    result = lesionflow(*ARGUMENTS, *arguments)
    assert result.code == 2
    assert words in result.sentence()
    assert api.requests == []


def test_a_dry_run_changes_nothing(api: KfpApiServer, lesionflow: Command) -> None:
    result = lesionflow(*ARGUMENTS, "--dry-run")
    assert result.code == 0
    assert {method for method, *_ in api.requests} == {"GET"}
    for words in (
        "lesionflow-training-generic (new)",
        "lesionflow (new)",
        "source = gs://bucket/data",
        "example.com/lesionflow-cpu@sha256:",
        "Nothing was sent.",
    ):
        assert words in result.out
    rows = [line.split() for line in result.out.splitlines()]
    assert ["s3://", "leads", "to", "http://seaweedfs.kubeflow:9000"] in rows
    on_gke = [line.split() for line in lesionflow(*ARGUMENTS, "--dry-run", "--profile", "gke").out.splitlines()]
    assert ["s3://", "leads", "to", "Amazon's", "S3"] in on_gke

    lesionflow(*ARGUMENTS)
    assert "lesionflow-training-generic (there already)" in lesionflow(*ARGUMENTS, "--dry-run").out


def test_a_dry_run_needs_no_cluster(lesionflow: Command) -> None:
    result = lesionflow(*ARGUMENTS, "--dry-run", "--endpoint", "https://nowhere.invalid")
    assert result.code == 0
    assert "What the cluster has already is not known: There is no host" in result.out
    assert "(new)" not in result.out.split("run ")[0]


def test_a_cross_validation_is_a_pipeline_of_its_own_without_a_registry(api: KfpApiServer, lesionflow: Command) -> None:
    command = ("submit", "--data", "gs://bucket/data", "--folds", "3")
    plan = lesionflow(*command, "--dry-run")
    assert "lesionflow-cross-validation-3-folds-generic (new)" in plan.out
    result = lesionflow(*command)
    assert (result.code, result.err) == (0, "")
    assert only(api.pipelines)["display_name"] == "lesionflow-cross-validation-3-folds-generic"
    assert not {"registry", "fixed_test"} & only(api.runs)["runtime_config"]["parameters"].keys()
    upload = next(body["uploadfile"] for _, path, body in api.requests if "upload_version" in path)
    tasks = next(yaml.safe_load_all(upload))["root"]["dag"]["tasks"]
    assert [task["parameterIterator"]["items"] for task in tasks.values() if "parameterIterator" in task] == [
        {"raw": "[0, 1, 2]"}
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--registry is missing"),
        (("--folds", "1"), "--folds is 1"),
        (("--folds", "5", "--registry", "gs://bucket/registry"), "--folds and --registry exclude each other"),
        (("--folds", "5", "--fixed-test", "gs://bucket/test.csv"), "--folds and --fixed-test exclude each other"),
    ],
)
def test_folds_and_what_excludes_them(
    api: KfpApiServer, lesionflow: Command, arguments: tuple[str, ...], words: str
) -> None:
    result = lesionflow("submit", "--data", "gs://bucket/data", *arguments)
    assert result.code == 2
    assert words in result.sentence()
    assert api.requests == []


def test_several_users_share_a_cluster(api: KfpApiServer, lesionflow: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubeflow with profiles wants the namespace wherever something is listed or created."""
    route = api.route
    healthy = {"multi_user": True}
    monkeypatch.setattr(api, "route", lambda *given: healthy if "healthz" in given[1] else route(*given))
    assert lesionflow(*ARGUMENTS, "--namespace", "mine").code == 0
    assert only(api.pipelines)["namespace"] == only(api.experiments)["namespace"] == "mine"
    assert lesionflow(*ARGUMENTS, "--namespace", "mine").code == 0
    only(api.versions), only(api.experiments)


def test_what_is_uploaded_is_what_compile_writes(api: KfpApiServer, lesionflow: Command) -> None:
    lesionflow(*ARGUMENTS)
    upload = next(body["uploadfile"] for _, path, body in api.requests if "upload_version" in path)
    documents = list(yaml.safe_load_all(upload))
    assert documents[0]["pipelineInfo"]["name"] == "lesionflow-training"
    assert only(api.versions)["name"] == f"0.1.0-{module.package_digest(documents)[:8]}"


def test_weights_in_the_image(
    api: KfpApiServer, lesionflow: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting_weights, "BAKED", tmp_path)
    (tmp_path / "mine.h5").touch()
    assert lesionflow(*ARGUMENTS, "--weights", "/opt/weights/mine.h5").code == 0
    assert only(api.runs)["runtime_config"]["parameters"]["weights"] == "/opt/weights/mine.h5"


def test_names_are_no_markup(api: KfpApiServer, lesionflow: Command) -> None:
    """What rich would take for a tag, or for the end of one that nobody began."""
    strange = (
        "--experiment",
        "[/b]",
        "--run-name",
        "[/x]",
        "--service-account",
        "[bold]",
        "--pipeline-root",
        "s3://b/[/]",
    )
    plan = lesionflow(*ARGUMENTS, *strange, "--dry-run")
    assert (plan.code, plan.err) == (0, "")
    for words in ("[/b] (new)", "[/x] (new)", "[bold]", "s3://b/[/]"):
        assert words in plan.out
    sent = lesionflow(*ARGUMENTS, *strange)
    assert (sent.code, sent.err) == (0, "")
    assert "[/x], " in sent.out
    run = only(api.runs)
    assert "[/x], " in lesionflow("status", run["run_id"]).out
    run["state"] = "[/odd]"  # of a server newer than we are
    listed = lesionflow("list", "--experiment", "[/b]")
    assert (listed.code, "[/x]" in listed.out, "[/odd]" in listed.out) == (0, True, True), listed
