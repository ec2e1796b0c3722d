"""Which nodes a fine-tune task reaches, over real HTTP: none fits, fits but busy, and the nearest miss."""

from collections.abc import Callable
from pathlib import Path

import pytest
from kube_api.objects import node, pod, taint
from kube_api.server import KubeApiServer

from lesionflow.kubeflow.doctor import node_check
from lesionflow.kubeflow.doctor.findings import Finding, Status
from lesionflow.profile import load_profile

Find = Callable[..., Finding]
GPU = {"nvidia.com/gpu": "1"}
GPU_TAINT = taint("nvidia.com/gpu", "present")


@pytest.fixture
def bare(kube: KubeApiServer) -> KubeApiServer:
    """The cluster without its nodes."""
    kube.remove("nodes")
    return kube


def test_a_node_that_takes_the_task_is_named(kube: KubeApiServer, find: Find) -> None:
    assert find(node_check.nodes) == Finding(Status.FINE, "1 of 2 nodes can take a fine-tune task: gpu-1")


def test_without_gpus_any_node_will_do(bare: KubeApiServer, find: Find) -> None:
    bare.add("nodes", *(node(f"cpu-{i}") for i in range(5)))
    finding = find(node_check.nodes, profile="cpu-only")
    assert finding == Finding(Status.FINE, "5 of 5 nodes can take a fine-tune task: cpu-0, cpu-1, cpu-2 and 2 more")


@pytest.mark.parametrize(
    ("misfit", "words", "hint"),
    [
        (
            node("gpu-1", GPU, taints=[GPU_TAINT, taint("dedicated", "ml")]),
            "nearest: node gpu-1 has nvidia.com/gpu but has the taint dedicated=ml:NoSchedule",
            "add it to the profile's tolerations",
        ),
        (
            node("gpu-1", GPU, taints=[taint("maintenance", effect="NoExecute")]),
            "has the taint maintenance:NoExecute",
            "tolerations",
        ),
        (
            node("gpu-1", GPU, taints=[taint("a", "b"), taint("a", "b", "NoExecute")]),
            "the taint a=b:NoSchedule, which is not tolerated and has the taint a=b:NoExecute",
            "tolerations",
        ),
        (
            node("gpu-1", GPU, unschedulable=True, taints=[taint("node.kubernetes.io/unschedulable")]),
            "node gpu-1 has nvidia.com/gpu but is cordoned",
            "kubectl uncordon gpu-1",
        ),
        (node("gpu-1", GPU, unschedulable=True), "node gpu-1 has nvidia.com/gpu but is cordoned", "kubectl uncordon"),
        (node("gpu-1", GPU, ready="False"), "is not Ready", "kubectl describe node gpu-1"),
        (node("gpu-1", GPU, ready="Unknown"), "is not Ready", "kubectl describe node gpu-1"),
        (
            node("gpu-1", {**GPU, "cpu": "3920m"}),
            "has 3.92 cpu allocatable and 4 is asked for",
            "ask for less cpu in the profile",
        ),
        (node("gpu-1", {**GPU, "memory": "15Gi"}), "has 15Gi memory allocatable and 16Gi is asked for", "less memory"),
        (node("gpu-1", {**GPU, "pods": "0"}), "has no pods allocatable", "larger node"),
        (node("cpu-2"), "no node offers nvidia.com/gpu", "--profile cpu-only"),
        (
            node("mig-1", {"nvidia.com/mig-1g.10gb": "7"}),
            "no node offers nvidia.com/gpu; there are nvidia.com/mig-1g.10gb",
            "set gpu_resource",
        ),
    ],
)
def test_no_node_fits_and_the_nearest_miss_is_told(
    bare: KubeApiServer, find: Find, misfit: dict[str, object], words: str, hint: str
) -> None:
    bare.add("nodes", node("cpu-1"), misfit)
    finding = find(node_check.nodes)
    assert (finding.status, words in finding.what, hint in finding.hint) == (Status.CROSS, True, True), finding


def test_the_nearest_miss_is_the_gpu_node_with_the_fewest_obstacles(bare: KubeApiServer, find: Find) -> None:
    bare.add(
        "nodes",
        node("a-cpu"),
        node("b-gpu", GPU, taints=[taint("dedicated")], unschedulable=True),
        node("c-gpu", GPU, taints=[taint("dedicated")]),
    )
    assert "nearest: node c-gpu" in find(node_check.nodes).what


def test_the_label_that_a_profile_selects(bare: KubeApiServer, find: Find, tmp_path: Path) -> None:
    label = "cloud.google.com/gke-accelerator"
    bare.add("nodes", node("gpu-1", GPU, labels={label: "nvidia-tesla-t4"}), node("gpu-2", GPU))
    finding = find(node_check.nodes, profile="gke")
    assert f"has the label {label}=nvidia-tesla-t4 and the profile selects {label}=nvidia-l4" in finding.what
    assert finding.status is Status.CROSS
    bare.add("nodes", node("gpu-3", GPU, labels={label: "nvidia-l4"}))
    assert find(node_check.nodes, profile="gke").status is Status.FINE


def test_enough_gpus_on_one_node_are_needed(bare: KubeApiServer, find: Find, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text("extends: generic\ngpus: 2\n")
    bare.add("nodes", node("gpu-1", GPU), node("gpu-2", GPU))
    finding = find(node_check.nodes, profile=str(tmp_path / "two.yaml"))
    assert finding.status is Status.CROSS
    assert "has 1 nvidia.com/gpu allocatable and 2 is asked for" in finding.what


@pytest.mark.parametrize(
    "asks", [{"requests": {"nvidia.com/gpu": "1"}, "limits": {"nvidia.com/gpu": "1"}}, {"requests": {"memory": "17Gi"}}]
)
def test_a_node_that_fits_but_is_busy_is_no_cross(
    kube: KubeApiServer, find: Find, asks: dict[str, dict[str, str]]
) -> None:
    kube.add("pods", pod("other", namespace="team-b", phase="Running", on="gpu-1", **asks))
    finding = find(node_check.nodes)
    assert finding.status is Status.BUSY
    assert finding.what.startswith("1 of 2 nodes can take the fine-tune tasks, but none now: node gpu-1 has ")
    assert "waits" in finding.hint


def test_a_pod_that_has_ended_keeps_no_node_busy(kube: KubeApiServer, find: Find) -> None:
    kube.add("pods", pod("old", phase="Succeeded", on="gpu-1", limits=GPU, requests=GPU))
    assert find(node_check.nodes).status is Status.FINE


def test_the_other_steps_need_a_node_too(bare: KubeApiServer, find: Find) -> None:
    bare.add("nodes", node("gpu-1", GPU, taints=[GPU_TAINT]))
    finding = find(node_check.nodes)
    assert finding.status is Status.CROSS
    assert "no node takes the other steps; nearest: node gpu-1 has the taint nvidia.com/gpu=present" in finding.what


def test_no_node_at_all(bare: KubeApiServer, find: Find) -> None:
    assert find(node_check.nodes).status is Status.CROSS


def test_an_autoscaler_may_still_add_a_node(bare: KubeApiServer, find: Find) -> None:
    bare.add("nodes", node("cpu-1"))
    bare.add("configmaps", {"metadata": {"name": "cluster-autoscaler-status", "namespace": "kube-system"}})
    finding = find(node_check.nodes)
    assert finding.status is Status.UNCHECKED
    assert "no node offers nvidia.com/gpu, now; the cluster's autoscaler may add" in finding.what


def test_who_may_not_list_nodes_knows_nothing(kube: KubeApiServer, find: Find) -> None:
    kube.denied.add("list nodes")
    finding = find(node_check.nodes)
    assert finding.status is Status.UNCHECKED
    assert "nodes is forbidden" in finding.what


def test_who_may_not_list_all_pods_does_not_know_how_busy_nodes_are(kube: KubeApiServer, find: Find) -> None:
    kube.add("pods", pod("other", namespace="team-b", phase="Running", on="gpu-1", limits=GPU, requests=GPU))
    kube.denied.add("list pods *")
    finding = find(node_check.nodes)
    assert finding.status is Status.FINE
    assert finding.what.endswith("gpu-1; how busy they are could not be checked")


def test_doctor_asks_for_what_the_compiled_pipeline_asks_for() -> None:
    """Every request, limit, label and toleration that the compiler writes, held against the demands."""
    from google.protobuf import json_format

    from lesionflow.kubeflow.kube.nodes import quantities
    from lesionflow.pipelines.training import define_training_pipeline

    for name in ("generic", "gke", "cpu-only"):
        profile = load_profile(name)
        pipeline = define_training_pipeline(profile)
        demands = node_check.demands(profile)
        platforms = json_format.MessageToDict(pipeline.platform_spec)["platforms"]
        on_kubernetes = platforms["kubernetes"]["deploymentSpec"]["executors"]
        seen: set[str] = set()
        for label, executor in pipeline.pipeline_spec.deployment_spec["executors"].items():
            demand = demands[node_check.TRAINING if "finetune" in label else "the other steps"]
            asked = dict(executor["container"]["resources"])
            amounts = {
                "requests": {"cpu": asked.get("resourceCpuRequest"), "memory": asked.get("resourceMemoryRequest")},
                "limits": {"cpu": asked.get("resourceCpuLimit"), "memory": asked.get("resourceMemoryLimit")},
            }
            if "accelerator" in asked:
                device = {asked["accelerator"]["resourceType"]: asked["accelerator"]["resourceCount"]}
                amounts = {kind: {**some, **device} for kind, some in amounts.items()}
            stated = {k: quantities({n: a for n, a in some.items() if a}) for k, some in amounts.items()}
            assert stated == {"requests": dict(demand.requests), "limits": dict(demand.limits)}, label
            platform = on_kubernetes.get(label, {})
            assert platform.get("nodeSelector", {}).get("labels", {}) == dict(demand.node_selector)
            tolerations = [
                (t["key"], t["operator"], t.get("value"), t.get("effect")) for t in platform.get("tolerations", [])
            ]
            assert tolerations == [(t.key, t.operator, t.value, t.effect) for t in demand.tolerations]
            seen.add(label)
        assert len(seen) == 13
