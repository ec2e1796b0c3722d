"""Why a run's pods wait or were ended, from a real API server and scheduler.

What only a kubelet writes (container statuses, its events) and what Argo writes stands in the objects by hand, in the
shape and words of the recordings.
"""

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kube_api.cluster import Refused, eventually
from kube_api.objects import (
    RUN,
    container,
    event,
    limit_range,
    node,
    pod,
    quota,
    taint,
    unschedulable,
    workflow,
    workflow_node,
)
from kube_api.server import KubeApiServer

from lesionflow.errors import ClusterError
from lesionflow.kubeflow.kube.cluster_access import kubernetes_client
from lesionflow.kubeflow.runs.pending import why_failed, why_pending

NO_GPU = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
ASKS = {"requests": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}, "limits": {"nvidia.com/gpu": "1"}}
QUOTA = (
    'pods "x" is forbidden: exceeded quota: team, requested: requests.nvidia.com/gpu=1,memory=16Gi, '
    "used: requests.nvidia.com/gpu=4,memory=1, limited: requests.nvidia.com/gpu=4,memory=2Gi"
)


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def refused_by_the_scheduler(kube: KubeApiServer, asked: dict[str, Any]) -> None:
    """Put a pod in and wait until the scheduler has said why it places it nowhere."""
    kube.add("pods", asked)

    def told() -> bool:
        conditions = kube.get("pods", asked["metadata"]["name"])["status"].get("conditions", ())
        return any(one["type"] == "PodScheduled" and one.get("message") for one in conditions)

    eventually(told)


def test_a_pod_that_fits_no_node(kube: KubeApiServer, core: Any) -> None:
    refused_by_the_scheduler(kube, pod(**ASKS))
    assert why_pending(core, "team-a", RUN) == [
        "finetune-head waits for a node with 1 nvidia.com/gpu, 4 cpu, 16Gi memory: "
        "of 2 nodes, 1 has not enough nvidia.com/gpu free, 1 has a taint that it does not tolerate."
    ]


@pytest.mark.parametrize(
    ("nodes", "asks", "words"),
    [
        ([], {}, "the cluster has no node"),
        ([node("small", {"cpu": "1"})], {"requests": {"cpu": "2"}}, "of 1 node, 1 has not enough cpu free"),
        (
            [node("small", {"cpu": "1", "memory": "1Gi"})],
            {"requests": {"cpu": "2", "memory": "2Gi"}},
            "of 1 node, 1 has not enough cpu free, 1 has not enough memory free",
        ),
        ([node("full", {"pods": "0"})], {}, "of 1 node, 1 has no room for another pod"),
        ([node("away", unschedulable=True)], {}, "of 1 node, 1 is cordoned"),
        (
            [node("t4", labels={"accelerator": "t4"}), node("none")],
            {"node_selector": {"accelerator": "l4"}},
            "of 2 nodes, 2 do not have the label accelerator=l4 that it selects",
        ),
        ([node("others", taints=[taint("team", "b")])], {}, "of 1 node, 1 has a taint that it does not tolerate"),
    ],
)
def test_what_the_scheduler_says_of_nodes(
    kube: KubeApiServer, core: Any, nodes: list[dict[str, Any]], asks: dict[str, Any], words: str
) -> None:
    kube.remove("nodes")
    kube.add("nodes", *nodes)
    refused_by_the_scheduler(kube, pod(**asks))
    (sentence,) = why_pending(core, "team-a", RUN)
    assert sentence.startswith("finetune-head waits for a node")
    assert sentence.endswith(f": {words}.")


def test_a_pod_that_waits_gets_on_when_a_node_comes(kube: KubeApiServer, core: Any) -> None:
    refused_by_the_scheduler(kube, pod(requests={"nvidia.com/gpu": "2"}, limits={"nvidia.com/gpu": "2"}))
    assert why_pending(core, "team-a", RUN)
    kube.add("nodes", node("gpu-2", {"nvidia.com/gpu": "2"}))
    eventually(lambda: not why_pending(core, "team-a", RUN))
    assert kube.get("pods", "finetune-pod")["spec"]["nodeName"] == "gpu-2"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("TriggeredScaleUp", "autoscaler is adding one."),
        ("NotTriggerScaleUp", "autoscaler has no kind of node that would fit."),
    ],
)
def test_what_the_autoscaler_makes_of_it(kube: KubeApiServer, core: Any, reason: str, words: str) -> None:
    kube.add("pods", pod(**unschedulable(NO_GPU)))
    kube.add("events", event("finetune-pod", reason, "pod ..."), event("other-pod", "TriggeredScaleUp", "pod ..."))
    assert why_pending(core, "team-a", RUN)[0].endswith(words)


def test_a_pod_held_back_by_a_gate(kube: KubeApiServer, core: Any) -> None:
    gated = pod()
    gated["spec"]["schedulingGates"] = [{"name": "kueue.x-k8s.io/admission"}]
    kube.add("pods", gated)
    assert "its queue admits it" in why_pending(core, "team-a", RUN)[0]


@pytest.mark.parametrize(
    ("reason", "cause", "words"),
    [
        ("ImagePullBackOff", "...: example.com/lesionflow/gpu:1: not found", "no such image; build and push it"),
        ("ErrImagePull", "... manifest unknown", "no such image"),
        ("ImagePullBackOff", "... failed to authorize: ... 401 Unauthorized", "refuses the cluster's credentials"),
        ("ImagePullBackOff", "... pull access denied", "refuses the cluster's credentials"),
        ("ImagePullBackOff", "... dial tcp: lookup example.com: no such host", "cannot reach the registry"),
        ("ImagePullBackOff", "... toomanyrequests", "limits its pulls"),
        ("ErrImagePull", "... no space left on device", "no space left on device"),
    ],
)
def test_an_image_that_cannot_be_pulled(kube: KubeApiServer, core: Any, reason: str, cause: str, words: str) -> None:
    state = container(waiting(reason, 'Back-off pulling image "example.com/lesionflow/gpu:1"'))
    kube.add("pods", pod(on="gpu-1", containerStatuses=[state]))
    kube.add("events", event("finetune-pod", "Failed", f'Failed to pull image "example.com/lesionflow/gpu:1": {cause}'))
    (sentence,) = why_pending(core, "team-a", RUN)
    assert sentence.startswith("finetune-head cannot pull example.com/lesionflow/gpu:1: ")
    assert words in sentence


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            container(waiting("InvalidImageName", "couldn't parse")),
            "cannot pull example.com/lesionflow/gpu:1: its name",
        ),
        (
            container(waiting("CreateContainerConfigError", 'secret "mlpipeline-minio-artifact" not found')),
            'cannot start its container: secret "mlpipeline-minio-artifact" not found',
        ),
        (container(waiting("CreateContainerError", "")), "cannot start its container: CreateContainerError"),
    ],
)
def test_a_container_that_cannot_start(kube: KubeApiServer, core: Any, status: dict[str, Any], words: str) -> None:
    kube.add("pods", pod(on="gpu-1", containerStatuses=[status]))
    assert words in why_pending(core, "team-a", RUN)[0]


def test_an_init_container_that_cannot_start(kube: KubeApiServer, core: Any) -> None:
    launcher = container(waiting("ErrImagePull", "not found"), name="kfp-launcher", image="example.com/kfp-launcher")
    main = container(waiting("PodInitializing"))
    kube.add("pods", pod(on="gpu-1", initContainerStatuses=[launcher], containerStatuses=[main]))
    assert "cannot pull example.com/kfp-launcher" in why_pending(core, "team-a", RUN)[0]


@pytest.mark.parametrize(
    ("reason", "message", "words"),
    [
        (
            "FailedMount",
            'MountVolume.SetUp failed for volume "x" : configmap "y" not found',
            "waits for a volume: Mount",
        ),
        ("FailedAttachVolume", "Multi-Attach error", "waits for a volume: Multi-Attach error."),
        ("FailedCreatePodSandBox", "failed to assign an IP", "cannot start on node gpu-1: failed to assign an IP."),
    ],
)
def test_what_only_events_tell(kube: KubeApiServer, core: Any, reason: str, message: str, words: str) -> None:
    kube.add("pods", pod(on="gpu-1", containerStatuses=[container(waiting("ContainerCreating"))]))
    kube.add("events", event("finetune-pod", "Scheduled", "Successfully assigned", 1))
    kube.add("events", event("finetune-pod", reason, message))
    assert words in why_pending(core, "team-a", RUN)[0]


@pytest.mark.parametrize(
    ("young", "last", "on", "words"),
    [
        (True, "Pulling", "gpu-1", None),
        (False, "Pulling", "gpu-1", "finetune-head has been pulling its image for more than 3 minutes on node gpu-1."),
        (False, "Created", "gpu-1", "finetune-head has been starting for more than 3 minutes on node gpu-1."),
        (
            False,
            None,
            None,
            "finetune-head has waited for more than 3 minutes for the scheduler, which has not said why.",
        ),
    ],
)
def test_a_pod_is_given_time_to_start(
    kube: KubeApiServer,
    core: Any,
    monkeypatch: pytest.MonkeyPatch,
    young: bool,
    last: str | None,
    on: str | None,
    words: str | None,
) -> None:
    """Only the API server says when a pod was created, so an old one is one before a clock that is ahead."""
    kube.add("pods", pod(on=on, containerStatuses=[container(waiting("PodInitializing"))]))
    if last:
        kube.add("events", event("finetune-pod", "BackOff", "...", 8), event("finetune-pod", last, "...", 7))
    if not young:

        class Ahead(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:
                return datetime.now(tz) + timedelta(minutes=9)

        monkeypatch.setattr("lesionflow.kubeflow.runs.pod_reasons.datetime", Ahead)
    assert why_pending(core, "team-a", RUN) == ([words] if words else [])


def test_a_pod_that_quota_refuses_does_not_exist_but_is_told_of(kube: KubeApiServer, core: Any) -> None:
    kube.add("workflows", workflow(workflow_node("finetune-2", "Pending", QUOTA)))
    assert why_pending(core, "team-a", RUN) == [
        "finetune-partial is held back by quota team: it asks for 1 more requests.nvidia.com/gpu "
        "when 4 of 4 are in use, 16Gi more memory when 1 of 2Gi are in use."
    ]


@pytest.mark.parametrize(
    ("resource", "given", "words"),
    [
        (
            "resourcequotas",
            quota("team", {"requests.cpu": "3", "pods": "9"}),
            "finetune-head is held back by quota team: it asks for 4 more requests.cpu when 0 of 3 are in use.",
        ),
        (
            "resourcequotas",
            quota("team", {"limits.cpu": "9"}),
            "finetune-head is refused by quota team, which wants limits.cpu stated for every container; "
            "give the namespace a LimitRange with defaults.",
        ),
        (
            "limitranges",
            limit_range("strict", max={"memory": "8Gi"}),
            "finetune-head is refused: {refusal}.",
        ),
    ],
)
def test_what_kubernetes_says_of_a_pod_that_it_does_not_admit(
    kube: KubeApiServer, core: Any, resource: str, given: dict[str, Any], words: str
) -> None:
    """Argo puts the API server's words into the Workflow."""
    kube.add(resource, given)
    with pytest.raises(Refused) as refused:
        kube.add("pods", pod(requests={"cpu": "4", "memory": "16Gi"}, limits={"memory": "16Gi"}))
    refusal = refused.value.message
    kube.add("workflows", workflow(workflow_node("finetune", "Pending", refusal)))
    assert why_pending(core, "team-a", RUN) == [words.format(refusal=refusal)]


def test_only_this_run_is_told_of_in_the_order_of_creation(kube: KubeApiServer, core: Any) -> None:
    kube.add("pods", pod("b", task="split", **unschedulable(NO_GPU)))
    time.sleep(1.1)  # Kubernetes counts in seconds
    kube.add("pods", pod("a", task="ingest-driver", **unschedulable(NO_GPU)))
    kube.add("pods", pod("c", run="another", **unschedulable(NO_GPU)), pod("d", phase="Running", on="gpu-1"))
    kube.add("pods", pod("e", namespace="team-b", **unschedulable(NO_GPU)))
    kube.add("workflows", workflow(workflow_node("gate", "Pending", QUOTA), run="another"))
    assert [sentence.split()[0] for sentence in why_pending(core, "team-a", RUN)] == ["split", "ingest"]


def test_a_pod_that_names_no_step_is_called_by_its_own_name(kube: KubeApiServer, core: Any) -> None:
    stray = pod("stray-1", **unschedulable(NO_GPU))
    del stray["metadata"]["annotations"]
    kube.add("pods", stray)
    assert why_pending(core, "team-a", RUN)[0].startswith("stray-1 waits for a node")


def test_without_the_permission_the_sentence_says_so(kube: KubeApiServer, core: Any) -> None:
    kube.denied.add("list pods")
    (sentence,) = why_pending(core, "team-a", RUN)
    assert sentence.startswith("Why steps wait could not be checked: pods is forbidden")


def test_less_is_said_without_events_and_workflows(kube: KubeApiServer, core: Any) -> None:
    kube.denied |= {"list events", "list workflows"}
    kube.add("pods", pod(**unschedulable(NO_GPU)))
    assert len(why_pending(core, "team-a", RUN)) == 1


def test_nothing_outside_the_namespace_is_needed(kube: KubeApiServer, core: Any) -> None:
    kube.denied |= {"list pods *", "list nodes", "create subjectaccessreviews"}
    kube.add("pods", pod(**unschedulable(NO_GPU)), pod("b", phase="Failed", on="gpu-1", reason="Evicted"))
    assert [sentence.split(":")[0] for sentence in why_pending(core, "team-a", RUN)] == [
        "finetune-head waits for a node"
    ]
    assert why_failed(core, "team-a", RUN) == ["finetune-head was evicted."]


def test_an_api_that_goes_away_is_the_clusters_fault(
    kube: KubeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubernetes.client import CoreV1Api

    monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig(tmp_path, host="http://127.0.0.1:9")))
    with pytest.raises(ClusterError, match="does not answer"):
        why_pending(CoreV1Api(kubernetes_client()), "team-a", RUN)


OOM = container({"terminated": {"exitCode": 137, "reason": "OOMKilled"}})


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"containerStatuses": [OOM]}, "was killed for memory: it needed more than its limit of 16Gi."),
        (
            {"reason": "Evicted", "message": "The node was low on resource: ephemeral-storage. "},
            "was evicted: The node was low on resource: ephemeral-storage.",
        ),
        (
            {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]},
            "was preempted: a pod of higher priority took its place.",
        ),
        (
            {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]},
            "was evicted.",
        ),
        ({"reason": "Preempting", "message": "Preempted in order to admit critical pod"}, "was preempted"),
        ({"reason": "DeadlineExceeded"}, "ran longer than its deadline."),
        ({"reason": "NodeShutdown", "message": "Pod was terminated"}, "lost its node: Pod was terminated."),
        (
            {"reason": "UnexpectedAdmissionError", "message": "Allocate failed"},
            "was ended by its node (UnexpectedAdmissionError): Allocate failed.",
        ),
    ],
)
def test_what_the_cluster_did_to_a_pod(kube: KubeApiServer, core: Any, status: dict[str, Any], words: str) -> None:
    kube.add("pods", pod(phase="Failed", on="gpu-1", limits={"memory": "16Gi"}, **status))
    (sentence,) = why_failed(core, "team-a", RUN)
    assert sentence.startswith("finetune-head ")
    assert words in sentence


def test_a_run_whose_pods_get_on_has_nothing_to_tell(kube: KubeApiServer, core: Any) -> None:
    kube.add("pods", pod("sidecar-died", phase="Running", on="gpu-1", containerStatuses=[OOM]))
    kube.add("pods", pod("done", phase="Succeeded", on="gpu-1"))
    assert why_failed(core, "team-a", RUN) == why_pending(core, "team-a", RUN) == []


def test_a_step_that_failed_by_itself_is_not_the_clusters_doing(kube: KubeApiServer, core: Any) -> None:
    ended = container({"terminated": {"exitCode": 1, "reason": "Error"}})
    kube.add("pods", pod(phase="Failed", on="gpu-1", containerStatuses=[ended]))
    kube.add("workflows", workflow(workflow_node("gate", "Failed", "Error (exit code 1)")))
    assert why_failed(core, "team-a", RUN) == []


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            'pods "x" is forbidden: failed quota: team: must specify limits.cpu for: main,wait',
            "finetune-head is refused by quota team, which wants limits.cpu stated for every container; give the",
        ),
        (
            'pods "x" is forbidden: maximum memory usage per Container is 8Gi, but limit is 16Gi',
            "is refused: pods",
        ),
        ("pod deleted", "finetune-head lost its pod: it was preempted"),
    ],
)
def test_a_pod_that_was_refused_or_taken_away(kube: KubeApiServer, core: Any, message: str, words: str) -> None:
    kube.add("workflows", workflow(workflow_node("finetune", "Error", message)))
    assert words in why_failed(core, "team-a", RUN)[0]
    assert why_pending(core, "team-a", RUN) == []
