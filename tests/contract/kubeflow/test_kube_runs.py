"""`run_reader.KubeRuns` on a real API server: recorded Workflows, pods' logs, and what the Role does not allow."""

import time
from collections.abc import Generator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from kube_api.objects import RUN, node, pod, recorded_workflow, unschedulable
from kube_api.server import KubeApiServer
from recordings import recorded

from lesionflow.kubeflow.client.settings import ClusterSettings
from lesionflow.kubeflow.kube.cluster_access import Denied, Missing
from lesionflow.kubeflow.runs import workflow
from lesionflow.kubeflow.runs.run_reader import RUN_LABEL, KubeRuns

LIMITS = (3.0, 10.0)


@pytest.fixture
def kube(kubernetes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[KubeApiServer]:
    """A Kubernetes with a node, and the manifests' submitter in the namespace team-a."""
    with KubeApiServer(kubernetes) as server:
        server.add("nodes", node("node-1"))
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path)))
        yield server


@pytest.fixture
def runs(kube: KubeApiServer) -> KubeRuns:
    return KubeRuns(ClusterSettings(namespace="team-a"))


@pytest.mark.parametrize("name", ["refused", "reused", "succeeded-compressed", "folds-compressed"])
def test_a_workflow_comes_back_as_argo_wrote_it(kube: KubeApiServer, runs: KubeRuns, name: str) -> None:
    """Plain or compressed, of any size, and no other run's."""
    kube.add("workflows", recorded_workflow(name))
    whole = recorded(f"kubernetes/workflow-{name}.json.gz")
    found = runs.workflow(whole["metadata"]["labels"][RUN_LABEL])
    assert found
    assert found["status"] == whole["status"]
    assert workflow.workflow_state(found) == workflow.workflow_state(whole)
    assert runs.workflow(RUN) is None


def test_workflows_that_the_role_does_not_show(kube: KubeApiServer, runs: KubeRuns) -> None:
    kube.denied.add("list workflows")
    with pytest.raises(Denied, match=r"workflows\.argoproj\.io is forbidden"):
        runs.workflow(RUN)


def text_of(stream: Any) -> str:
    return b"".join(stream).decode()


def test_the_log_of_a_pod_that_has_ended(kube: KubeApiServer, runs: KubeRuns) -> None:
    """Of the container that the step runs in, not of Argo's beside it."""
    kube.add("pods", pod("ended", phase="Succeeded", on="node-1"))
    kube.kubelet.logs["ended", "main"] = ["first\n", "zweite Zeile: Läsion\n"]
    assert text_of(runs.log("ended", False, LIMITS)) == "first\nzweite Zeile: Läsion\n"


def test_a_log_is_followed_until_the_pod_ends(kube: KubeApiServer, runs: KubeRuns) -> None:
    kube.add("pods", pod("goes-on", phase="Running", on="node-1"))
    lines = kube.kubelet.logs["goes-on", "main"] = ["epoch 1\n"]
    kube.kubelet.running.add("goes-on")
    stream = iter(runs.log("goes-on", True, LIMITS))
    assert next(stream) == b"epoch 1\n"

    def later() -> None:
        time.sleep(0.2)
        lines.append("epoch 2\n")
        time.sleep(0.2)
        kube.kubelet.running.clear()

    Thread(target=later).start()
    assert b"".join(stream) == b"epoch 2\n"
    assert "follow=true" in kube.kubelet.asked[-1]


def test_a_pod_that_waits_for_a_node_has_an_empty_log(kube: KubeApiServer, runs: KubeRuns) -> None:
    """Kubernetes answers 200."""
    kube.add("pods", pod("waits", **unschedulable("0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")))
    assert text_of(runs.log("waits", False, LIMITS)) == ""


def test_a_container_that_has_not_started_has_no_log(kube: KubeApiServer, runs: KubeRuns) -> None:
    kube.add("pods", pod("starts", on="node-1"))
    assert runs.log("starts", False, LIMITS) is None


def test_a_log_that_is_gone_or_not_allowed(kube: KubeApiServer, runs: KubeRuns) -> None:
    with pytest.raises(Missing, match="the pod gone is gone"):
        runs.log("gone", False, LIMITS)
    kube.add("pods", pod("secret", phase="Running", on="node-1"))
    kube.denied.add("get pods/log")
    with pytest.raises(Denied, match="team-a"):
        runs.log("secret", False, LIMITS)
