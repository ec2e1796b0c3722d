"""Addresses, images and Kubeflow Pipelines itself, and how the checks are gone through."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kfp_api.server import KfpApiServer
from kube_api.server import KubeApiServer
from registry_server import DIGEST, Registry
from s3_server import S3Server
from seaweedfs import SeaweedFS

from lesionflow import storage
from lesionflow.errors import ClusterError, UserError
from lesionflow.kubeflow.client.settings import ClusterSettings
from lesionflow.kubeflow.doctor import checks, findings
from lesionflow.kubeflow.doctor.checks import Check, checks_for, examine
from lesionflow.kubeflow.doctor.findings import Finding, Status
from lesionflow.kubeflow.doctor.subject import Subject
from lesionflow.kubeflow.kube.cluster_access import Denied
from lesionflow.profile import load_profile

Find = Callable[..., Finding]


def test_kubeflow_pipelines_answers(find: Find) -> None:
    with KfpApiServer() as api:
        finding = find(checks.pipelines_api, endpoint=api.url)
    assert finding == Finding(Status.FINE, f"{api.url} answers, 0 runs so far")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried again after a pause."""
    monkeypatch.setattr("lesionflow.kubeflow.client.transport.PAUSES", ())


@pytest.mark.usefixtures("impatient")
def test_kubeflow_pipelines_is_down(find: Find) -> None:
    finding = find(checks.pipelines_api, endpoint="http://127.0.0.1:9")
    assert finding.status is Status.CROSS
    assert "http://127.0.0.1:9" in finding.what
    assert finding.hint


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", [401, 404, 500])
def test_kubeflow_pipelines_refuses(find: Find, how: Any) -> None:
    with KfpApiServer() as api:
        api.fail_next("GET", "/runs", how, times=9)
        finding = find(checks.pipelines_api, endpoint=api.url)
    assert (finding.status, str(how) in finding.what, bool(finding.hint)) == (Status.CROSS, True, True), finding


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("status", "hint"), [(403, "kubectl apply -k manifests/kubeconfig-access"), (401, "set its endpoint (KF_PIPELINES")]
)
def test_who_comes_by_a_kubeconfig_is_told_of_the_role_for_that(
    kube: KubeApiServer, find: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, hint: str
) -> None:
    """Kubernetes refuses the proxy to a service to the submitter, and everything to a token that it does not know."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    if status == 401:
        monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig(tmp_path, token="expired")))
    finding = find(checks.pipelines_api, endpoint="")
    assert (finding.status, str(status) in finding.what) == (Status.CROSS, True), finding
    assert "through the API server of your kubeconfig" in finding.what
    assert hint in finding.hint


@pytest.mark.usefixtures("impatient")
def test_kubeflow_of_several_users_tells_its_health_to_a_kubeconfig_and_nothing_else(
    find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a real one did."""
    monkeypatch.setattr(checks, "_goes_by_kubeconfig", lambda _: True)
    with KfpApiServer() as api:
        api.fail_next("GET", "/runs", 401)
        finding = find(checks.pipelines_api, endpoint=api.url)
    assert (finding.status, "cannot tell who asks" in finding.hint) == (Status.CROSS, True), finding


@pytest.mark.usefixtures("impatient")
def test_who_comes_by_an_endpoint_is_not(find: Find) -> None:
    with KfpApiServer() as api:
        api.fail_next("GET", "/healthz", 403)
        finding = find(checks.pipelines_api, endpoint=api.url)
    assert (finding.status, "kubeconfig" in finding.hint) == (Status.CROSS, False), finding


def launcher(root: str | None, **more: str) -> dict[str, Any]:
    content = {"defaultPipelineRoot": root, **more} if root else {"providers": ""}
    return {"metadata": {"name": "kfp-launcher", "namespace": "team-a"}, "data": content}


def test_the_default_pipeline_root_is_written_to(kube: KubeApiServer, gcs: str, find: Find) -> None:
    kube.add("configmaps", launcher(f"gs://{gcs}/root"))
    finding = find(checks.pipeline_root)
    assert finding.status is Status.FINE
    assert finding.what == f"gs://{gcs}/root is writable by you; left .lesionflow-doctor, a few bytes, in it"
    assert storage.exists(f"gs://{gcs}/root/.lesionflow-doctor")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, "none is set, so KFP's own object store"),
        (launcher(None), "none is set"),
        (launcher("minio://mlpipeline/v2/artifacts"), "only the cluster knows how to reach minio://mlpipeline"),
        (launcher("s3://bucket/x", providers="s3: {}"), "only the cluster knows how to reach s3://bucket/x"),
    ],
)
def test_a_pipeline_root_that_only_the_cluster_reaches(
    kube: KubeApiServer, find: Find, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any] | None, words: str
) -> None:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    if config:
        kube.add("configmaps", config)
    finding = find(checks.pipeline_root)
    assert (finding.status, words in finding.what) == (Status.UNCHECKED, True), finding


def test_who_may_not_read_the_configuration_knows_nothing_of_the_root(kube: KubeApiServer, find: Find) -> None:
    kube.denied.add("get configmaps")
    assert find(checks.pipeline_root).status is Status.UNCHECKED


def test_a_bucket_that_does_not_exist(gcs: str, find: Find) -> None:
    for check, option in (
        (checks.pipeline_root, "pipeline_root"),
        (checks.registry, "registry"),
        (checks.data, "data"),
    ):
        finding = find(check, **{option: "gs://there-is-no-such-bucket/x"})
        assert (finding.status, bool(finding.hint)) == (Status.CROSS, True), finding


@pytest.mark.parametrize("option", ["pipeline_root", "registry", "data"])
def test_pods_do_not_see_a_path_of_this_machine(find: Find, tmp_path: Path, option: str) -> None:
    finding = find(getattr(checks, option), **{option: str(tmp_path)})
    assert (finding.status, finding.hint) == (Status.CROSS, "use a gs:// or s3:// address")
    assert not list(tmp_path.glob("**/.lesionflow*"))


def test_a_registry_and_data_that_were_not_given_are_skipped(find: Find) -> None:
    assert find(checks.registry) == Finding(Status.SKIPPED, "skipped: give it with --registry")
    assert find(checks.data) == Finding(Status.SKIPPED, "skipped: give it with --data")


def test_the_registry_is_written_to(gcs: str, find: Find) -> None:
    assert find(checks.registry, registry=f"gs://{gcs}/models").status is Status.FINE


def test_data_is_read(gcs: str, find: Find) -> None:
    storage.write_bytes(f"gs://{gcs}/data/metadata.csv", b"image_id\n")
    assert find(checks.data, data=f"gs://{gcs}/data").what == f"gs://{gcs}/data: 1 files, readable"


@pytest.mark.parametrize("option", ["pipeline_root", "registry", "data"])
@pytest.mark.parametrize("scheme", ["s3", "minio"])
def test_a_store_that_only_the_pods_reach_is_not_looked_for_at_amazon(
    find: Find, monkeypatch: pytest.MonkeyPatch, option: str, scheme: str
) -> None:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(storage, "write_bytes", pytest.fail)
    monkeypatch.setattr(storage, "list_files", pytest.fail)
    finding = find(getattr(checks, option), **{option: f"{scheme}://bucket/x"})
    words = "only the pods reach http://seaweedfs.kubeflow:9000; set AWS_ENDPOINT_URL_S3 to try"
    assert finding == Finding(Status.UNCHECKED, f"could not be checked: {words}")


@pytest.mark.parametrize("root", ["s3://bucket/root", "minio://bucket/root"])
def test_the_launchers_store_is_tried_where_its_address_is_known(
    kube: KubeApiServer, seaweedfs: SeaweedFS, find: Find, root: str
) -> None:
    kube.add("configmaps", launcher(root, providers="s3: {}"))
    assert find(checks.pipeline_root).status is Status.FINE
    assert storage.exists("s3://bucket/root/.lesionflow-doctor")


def test_that_store_is_tried_where_its_address_is_known(seaweedfs: SeaweedFS, find: Find) -> None:
    assert find(checks.registry, registry="s3://bucket/models").status is Status.FINE
    storage.write_bytes("s3://bucket/data/metadata.csv", b"image_id\n")
    assert find(checks.data, data="s3://bucket/data").status is Status.FINE


def test_a_registry_whose_store_ignores_conditions(
    s3_server: S3Server, find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lesionflow.storage.buckets.s3._conditional", set())
    s3_server.ignores_conditions = True
    finding = find(checks.registry, registry="s3://bucket/models")
    assert (finding.status, finding.hint) == (Status.CROSS, "upgrade it, or use another store"), finding


def gpu(registry: Registry, digest: str = DIGEST) -> dict[str, dict[str, str]]:
    return {"pins": {"lesionflow:gpu": f"{registry.host}/lesionflow/gpu@{digest}"}}


def login(folder: Path, host: str, password: str) -> None:
    from base64 import b64encode

    auth = b64encode(f"puller:{password}".encode()).decode()
    (folder / "docker" / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))


@pytest.mark.parametrize("asks_for", [None, "Bearer"])
def test_an_image_that_anybody_may_pull(image_registry: Registry, find: Find, asks_for: str | None) -> None:
    image_registry.asks_for = asks_for
    finding = find(checks.image("lesionflow:gpu"), **gpu(image_registry))
    assert finding == Finding(Status.FINE, f"{image_registry.host}/lesionflow/gpu@{'a' * 12}")


@pytest.mark.parametrize("asks_for", ["Bearer", "Basic"])
def test_an_image_for_those_who_logged_in(image_registry: Registry, find: Find, tmp_path: Path, asks_for: str) -> None:
    image_registry.asks_for, image_registry.password = asks_for, "a-secret-password"
    check = checks.image("lesionflow:gpu")
    assert find(check, **gpu(image_registry)).status is Status.UNCHECKED
    login(tmp_path, image_registry.host, "a-secret-password")
    assert find(check, **gpu(image_registry)).status is Status.FINE
    login(tmp_path, image_registry.host, "another-secret")
    finding = find(check, **gpu(image_registry))
    assert finding.status is Status.UNCHECKED
    assert "secret" not in finding.what


def test_an_image_that_is_not_there(image_registry: Registry, find: Find) -> None:
    finding = find(checks.image("lesionflow:gpu"), **gpu(image_registry, "sha256:" + "b" * 64))
    assert finding.status is Status.CROSS
    assert "has no image lesionflow/gpu@sha256:bbb" in finding.what
    assert "make images" in finding.hint


def test_an_image_that_was_never_built(find: Find) -> None:
    assert find(checks.image("lesionflow:gpu")).status is Status.CROSS


@pytest.mark.parametrize("status", [403, 429, 500])
def test_a_registry_that_does_not_say(image_registry: Registry, find: Find, status: int) -> None:
    image_registry.answers = status
    finding = find(checks.image("lesionflow:gpu"), **gpu(image_registry))
    assert (finding.status, "nodes may still" in finding.what) == (Status.UNCHECKED, True)


def test_a_registry_that_only_the_cluster_reaches(find: Find) -> None:
    finding = find(checks.image("lesionflow:gpu"), **gpu(Registry(host="127.0.0.1:9")))
    assert finding.status is Status.UNCHECKED
    assert "does not answer this machine" in finding.what


SUBJECT = Subject(ClusterSettings(), load_profile("cpu-only"), "lesionflow", {})


def test_one_failing_check_stops_no_other_but_those_that_build_on_it() -> None:
    def fails(error: Exception) -> Callable[[Subject], Finding]:
        def check(_: Subject) -> Finding:
            raise error

        return check

    def passes(_: Subject) -> Finding:
        return findings.fine("good")

    order: list[str] = []
    found = examine(
        [
            Check("wrong", fails(UserError("It is wrong here; fix it so."))),
            Check("down", fails(ClusterError("It is down."))),
            Check("denied", fails(Denied("pods is forbidden"))),
            Check("after wrong", passes, ("wrong",)),
            Check("after that", passes, ("after wrong",)),
            Check("after denied", passes, ("denied",)),
            Check("free", passes),
        ],
        SUBJECT,
        lambda name: order.append(f"{name}?"),
        lambda name, finding: order.append(f"{name} {finding.status}"),
    )
    assert [f"{name} {finding.status}" for name, finding in found.items()] == order[1::2]
    assert order[1::2] == [
        "wrong cross",
        "down cross",
        "denied unchecked",
        "after wrong skipped",
        "after that skipped",
        "after denied fine",
        "free fine",
    ]
    assert (found["wrong"].what, found["wrong"].hint) == ("It is wrong here", "fix it so")
    assert found["down"].hint
    assert found["after wrong"].what == "skipped: see wrong"


def test_every_check_comes_after_those_it_needs_and_each_image_has_one() -> None:
    every = checks_for(SUBJECT)
    names = [check.name for check in every]
    assert len(set(names)) == len(names)
    for position, check in enumerate(every):
        assert set(check.needs) <= set(names[:position]), check.name
    assert [name for name in names if name.startswith("image")] == ["image cpu", "image lean"]
    with_gpu = Subject(SUBJECT.settings, load_profile("generic"), "lesionflow", {}, pipeline_root="gs://b/root")
    assert "image gpu" in [check.name for check in checks_for(with_gpu)]
    assert next(check for check in checks_for(with_gpu) if check.name == "pipeline root").needs == ()
