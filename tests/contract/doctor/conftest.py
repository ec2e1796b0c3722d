"""A cluster on which everything is right, for tests to break one thing at a time."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from kube_api.objects import endpoints, node, secret, service, taint
from kube_api.server import KubeApiServer
from registry_server import DIGEST, Registry, serving

from lesionflow.kubeflow.client.settings import ClusterSettings
from lesionflow.kubeflow.doctor.checks import Check, examine
from lesionflow.kubeflow.doctor.findings import Finding
from lesionflow.kubeflow.doctor.subject import Subject
from lesionflow.profile import load_profile

GPU_NODE = node("gpu-1", {"nvidia.com/gpu": "1"}, taints=[taint("nvidia.com/gpu", "present")])


@pytest.fixture
def kube(kubernetes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[KubeApiServer]:
    """A Kubernetes with what the manifests grant in the namespace team-a, two nodes and KFP's object store.

    KUBECONFIG leads to it, as the manifests' submitter.
    """
    with KubeApiServer(kubernetes) as server:
        server.add("nodes", GPU_NODE, node("cpu-1"))
        server.add("services", service())
        server.add("endpointslices", endpoints())
        server.add("secrets", secret())
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path)))
        yield server


@pytest.fixture
def core(kube: KubeApiServer) -> Any:
    """The real client's CoreV1Api."""
    from kubernetes.client import CoreV1Api

    from lesionflow.kubeflow.kube.cluster_access import kubernetes_client

    return CoreV1Api(kubernetes_client())


@pytest.fixture
def image_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Registry]:
    """A stand-in registry that has every image; nobody is logged in."""
    (tmp_path / "docker").mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with serving(Registry(images={f"lesionflow/{name}@{DIGEST}" for name in ("lean", "cpu", "gpu")})) as registry:
        yield registry


@pytest.fixture
def find() -> Callable[..., Finding]:
    """Try one check on the cluster that the settings lead to."""

    def one(check: Callable[[Subject], Finding], profile: str = "generic", **more: Any) -> Finding:
        subject = Subject(
            settings=ClusterSettings(
                namespace=more.pop("namespace", "team-a"), endpoint=more.pop("endpoint", "http://127.0.0.1:9")
            ),
            profile=load_profile(profile),
            service_account=more.pop("service_account", "lesionflow"),
            pins=more.pop("pins", {}),
            **more,
        )
        shown: list[str] = []
        found = examine([Check("it", check)], subject, shown.append, lambda name, _: shown.append(name))
        assert shown == ["it", "it"]
        return found["it"]

    return one
