"""The object store is looked for where the pods will look for it, with the Secret that they will use."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube_api.objects import endpoints, secret, service
from kube_api.server import KubeApiServer
from recordings import recorded

from lesionflow.kubeflow.doctor import checks
from lesionflow.kubeflow.doctor.findings import Finding, Status
from lesionflow.kubeflow.doctor.launcher import DEFAULT_ENDPOINT, UsedStore, root_of, store_of

Find = Callable[..., Finding]
MANIFEST = Path(__file__).parents[3] / "manifests" / "base" / "kfp-launcher.yaml"
OURS: dict[str, str] = yaml.safe_load(MANIFEST.read_text())["data"]
KFPS = {"defaultPipelineRoot": "minio://mlpipeline/private-artifacts/team-a/v2/artifacts"}
"""What KFP 2.17 puts into a namespace's ConfigMap."""


def config_map(data: dict[str, str]) -> dict[str, Any]:
    return {"metadata": {"name": "kfp-launcher", "namespace": "team-a"}, "data": data}


def archive(endpoint: str) -> dict[str, Any]:
    """What KFP puts into a namespace for Argo."""
    content = json.dumps({"archiveLogs": True, "s3": {"endpoint": endpoint, "bucket": "mlpipeline"}})
    metadata = {"name": "artifact-repositories", "namespace": "team-a"}
    return {"metadata": metadata, "data": {"default-namespaced": content}}


def ours(**changes: Any) -> dict[str, str]:
    """The manifests' ConfigMap, with some fields of its provider changed."""
    provider = yaml.safe_load(OURS["providers"])["s3"]["default"] | changes
    root = "s3://mlpipeline/private-artifacts/team-a/pipeline-root"
    return {"defaultPipelineRoot": root, "providers": yaml.safe_dump({"s3": {"default": provider}})}


@pytest.fixture(params=["generic", "cpu-only"])
def profile(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("data", [KFPS, ours()])
def test_all_is_there(kube: KubeApiServer, find: Find, data: dict[str, str], profile: str) -> None:
    kube.add("configmaps", config_map(data))
    finding = find(checks.object_store, profile=profile)
    assert finding == Finding(Status.FINE, "http://seaweedfs.kubeflow:9000, Secret mlpipeline-minio-artifact: there")


def test_the_address_of_a_service_that_is_gone(kube: KubeApiServer, find: Find, tmp_path: Path) -> None:
    old = tmp_path / "old.yaml"
    old.write_text("{extends: generic, object_store: {endpoint: 'http://minio-service.kubeflow:9000'}}")
    kube.add("configmaps", config_map(KFPS))
    finding = find(checks.object_store, profile=str(old))
    assert finding == Finding(
        Status.CROSS,
        "the steps will look for objects at http://minio-service.kubeflow:9000, and there is no Service "
        "minio-service in the namespace kubeflow",
        "correct the address, which is set by `object_store` in the profile; KFP's own is http://seaweedfs.kubeflow:9000",
    )


def test_the_launchers_address_of_a_service_that_is_gone(kube: KubeApiServer, find: Find) -> None:
    kube.add("configmaps", config_map(ours(endpoint="minio-service.kubeflow:9000")))
    finding = find(checks.object_store)
    assert finding.status is Status.CROSS
    assert "KFP's launcher will look for objects at minio-service.kubeflow:9000" in finding.what
    assert "in `providers` of the ConfigMap kfp-launcher" in finding.hint


@pytest.mark.parametrize("endpoint", ["seaweedfs.kubeflow.svc", "seaweedfs.kubeflow.svc.cluster.local"])
def test_every_name_that_pods_may_give_a_service(
    kube: KubeApiServer, find: Find, tmp_path: Path, endpoint: str
) -> None:
    kube.add("configmaps", config_map(ours(endpoint=f"{endpoint}:8333")))
    assert find(checks.object_store).status is Status.FINE
    kube.remove("services")
    assert find(checks.object_store).status is Status.CROSS


def test_a_service_of_the_pods_own_namespace(kube: KubeApiServer, find: Find) -> None:
    kube.add("configmaps", config_map(ours(endpoint="http://store")))
    assert "no Service store in the namespace team-a" in find(checks.object_store).what
    kube.add("services", service("store", ports=(80,), namespace="team-a"))
    kube.add("endpointslices", endpoints("store", "team-a"))
    assert find(checks.object_store).status is Status.FINE


def test_a_port_that_the_service_does_not_have(kube: KubeApiServer, find: Find) -> None:
    kube.add("configmaps", config_map(KFPS))
    kube.remove("services")
    kube.add("services", service(ports=(8333,)))
    finding = find(checks.object_store)
    assert (finding.status, finding.what) == (
        Status.CROSS,
        "the Service seaweedfs in the namespace kubeflow has no port 9000, only 8333",
    )


@pytest.mark.parametrize(("ready", "status"), [(True, Status.FINE), (None, Status.FINE), (False, Status.CROSS)])
def test_a_store_whose_pod_is_down(kube: KubeApiServer, find: Find, ready: bool | None, status: Status) -> None:
    kube.add("configmaps", config_map(KFPS))
    kube.remove("endpointslices")
    kube.add("endpointslices", endpoints(ready=ready))
    finding = find(checks.object_store)
    assert finding.status is status
    if status is Status.CROSS:
        assert finding.hint == "see why: kubectl get pods --namespace kubeflow"


def test_no_secret(kube: KubeApiServer, find: Find) -> None:
    kube.add("configmaps", config_map(KFPS))
    kube.remove("secrets")
    finding = find(checks.object_store)
    assert finding == Finding(
        Status.CROSS,
        "there is no Secret mlpipeline-minio-artifact, whose keys the steps would use",
        "KFP makes it in namespaces with the label pipelines.kubeflow.org/enabled=true",
    )


def test_a_secret_with_keys_of_other_names(kube: KubeApiServer, find: Find) -> None:
    kube.add("configmaps", config_map(KFPS))
    kube.remove("secrets")
    kube.add("secrets", secret(AWS_ACCESS_KEY_ID="an-id", secretkey="hidden-word"))
    finding = find(checks.object_store)
    assert finding.status is Status.CROSS
    assert "has no accesskey, only AWS_ACCESS_KEY_ID, secretkey" in finding.what
    assert "hidden" not in finding.what + finding.hint


def test_the_launchers_own_secret_and_keys(kube: KubeApiServer, find: Find) -> None:
    reference = {"secretName": "ours", "accessKeyKey": "id", "secretKeyKey": "word"}
    kube.add("configmaps", config_map(ours(credentials={"secretRef": reference})))
    kube.allow({"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["ours"], "verbs": ["get"]})
    assert "there is no Secret ours, whose keys KFP's launcher would use" in find(checks.object_store).what
    kube.add("secrets", secret("ours", id="1", pass_word="2"))
    assert "the Secret ours has no word, only id, pass_word" in find(checks.object_store).what


@pytest.mark.parametrize(
    ("root", "opened"),
    [
        ("s3://mlpipeline/private-artifacts/team-a/x", True),
        ("s3://mlpipeline/private/team-a", True),
        ("s3://mlpipeline/artifacts/x", True),
        ("s3://mlpipeline/private-artifacts/lesionflow/pipeline-root", False),
        ("s3://mlpipeline/private/team-ab/x", False),
        ("s3://mlpipeline/v2/artifacts", False),
        ("s3://another/private/team-a", False),
    ],
)
def test_a_folder_that_the_namespaces_secret_does_not_open(
    kube: KubeApiServer, find: Find, root: str, opened: bool
) -> None:
    kube.add("configmaps", config_map(ours() | {"defaultPipelineRoot": root}))
    finding = find(checks.object_store)
    assert (finding.status is Status.FINE) == opened, finding
    if not opened:
        assert f"does not open {root}" in finding.what
        assert "s3://mlpipeline/private/team-a" in finding.hint


def test_without_a_configuration_kfp_uses_a_folder_that_is_nobodys(kube: KubeApiServer, find: Find) -> None:
    assert "does not open minio://mlpipeline/v2/artifacts" in find(checks.object_store).what


def test_an_address_outside_the_cluster_is_for_the_pods_to_try(kube: KubeApiServer, find: Find) -> None:
    for endpoint in ("https://s3.example.com", "https://example.com", "http://10.0.0.9:9000"):
        kube.remove("configmaps")
        kube.add("configmaps", config_map(ours(endpoint=endpoint)))
        finding = find(checks.object_store)
        assert (finding.status, f"{endpoint} is no Service" in finding.what) == (Status.UNCHECKED, True), finding


def test_nothing_on_s3_needs_no_store(kube: KubeApiServer, find: Find) -> None:
    kube.remove("services")
    kube.remove("secrets")
    kube.add("configmaps", config_map({"defaultPipelineRoot": "gs://bucket/root"}))
    nothing = Finding(Status.SKIPPED, "skipped: nothing is on s3://")
    assert find(checks.object_store, data="gs://b/data", registry="gs://b/registry") == nothing
    assert find(checks.object_store, profile="gke") == nothing
    assert find(checks.object_store, data="gs://b/data", registry="s3://b/registry").status is Status.CROSS
    assert find(checks.object_store).status is Status.CROSS, "what the profile says, where no address is given"


@pytest.mark.parametrize("denied", ["get services", "list endpointslices", "get secrets", "get configmaps"])
def test_what_may_not_be_asked_hides_no_cross(kube: KubeApiServer, find: Find, denied: str) -> None:
    kube.add("configmaps", config_map(KFPS))
    kube.denied.add(denied)
    finding = find(checks.object_store)
    assert (finding.status, "forbidden" in finding.what) == (Status.UNCHECKED, True)
    kube.remove("secrets" if "secrets" not in denied else "services")
    assert find(checks.object_store).status is Status.CROSS


@pytest.mark.parametrize(
    ("profile_says", "status", "words"),
    [
        ("http://seaweedfs.kubeflow:9000", Status.UNCHECKED, "get secrets"),
        ("http://minio-service.kubeflow:9000", Status.CROSS, "and KFP's own store is seaweedfs.kubeflow"),
        ("http://ours.kubeflow:9000", Status.UNCHECKED, "get services"),
    ],
)
def test_who_may_not_see_the_service_goes_by_where_kfp_archives_logs(
    kube: KubeApiServer, find: Find, tmp_path: Path, profile_says: str, status: Status, words: str
) -> None:
    """As the ServiceAccount lesionflow-submitter, without components/doctor."""
    own = tmp_path / "own.yaml"
    own.write_text(yaml.safe_dump({"extends": "generic", "object_store": {"endpoint": profile_says}}))
    kube.add("configmaps", config_map(KFPS), archive("seaweedfs.kubeflow.svc.cluster.local:9000"))
    kube.denied |= {"get services", "get secrets", "get namespaces"}
    finding = find(checks.object_store, profile=str(own))
    assert (finding.status, finding.what.count("could not be checked") <= 1) == (status, True), finding
    told = finding.what.replace("cannot get resource ", "get ").replace('"', "")
    assert words in told
    assert ("get services" in told) == (words == "get services")


@pytest.mark.parametrize(
    ("providers", "words"),
    [
        ("s3: {default: {endpoint: x}}", "s3 names no credentials"),
        ("s3: {default: {credentials: {fromEnv: false}}}", "s3 needs fromEnv: true, or secretRef"),
        ("s3: [1]", "expected fields, found [1]"),
        ("s3: {", "while parsing"),
    ],
)
def test_providers_that_the_launcher_would_fail_of(kube: KubeApiServer, find: Find, providers: str, words: str) -> None:
    kube.add("configmaps", config_map(ours() | {"providers": providers}))
    finding = find(checks.object_store)
    assert (finding.status, words in finding.what) == (Status.CROSS, True), finding
    assert "manifests/base/kfp-launcher.yaml" in finding.hint


def test_the_launcher_is_read_as_the_real_one_reads_it() -> None:
    """The real launcher told each step which store its artifacts are in, by the manifests' ConfigMap."""
    artifact = recorded("executor-input/gate.json")["inputs"]["artifacts"]["evaluation"]["artifacts"][0]
    said = yaml.safe_load(artifact["metadata"]["store_session_info"])["Params"]
    store = store_of(OURS, artifact["uri"])
    assert store
    assert (store.endpoint, store.secret, *store.keys) == (
        said["endpoint"], said["secretName"], said["accessKeyKey"], said["secretKeyKey"],
    )  # fmt: skip


def test_which_store_a_root_means() -> None:
    assert root_of({}) == "minio://mlpipeline/v2/artifacts"
    assert store_of({}, "minio://b/x") == UsedStore(
        "KFP's launcher", "by KFP itself", DEFAULT_ENDPOINT, "mlpipeline-minio-artifact"
    )
    assert store_of({}, "s3://b/x") is store_of(OURS, "gs://b/x") is store_of(OURS, "s3://b/x?region=r") is None
    other = {"bucketName": "b", "keyPrefix": "mine/", "endpoint": "http://mine", "credentials": {"fromEnv": True}}
    provider = yaml.safe_load(OURS["providers"])["s3"] | {"Overrides": [other]}
    config = {"providers": yaml.safe_dump({"s3": provider})}
    own, default = store_of(config, "s3://b/mine/x"), store_of(config, "s3://b/yours/x")
    assert own
    assert (own.endpoint, own.secret) == ("http://mine", "")
    assert default == store_of(OURS, "s3://b/x")
