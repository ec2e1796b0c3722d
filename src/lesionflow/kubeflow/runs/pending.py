"""Why a run does not get on: one sentence for each of its pods that wait, were refused, or were killed.

KFP's own interface shows such a step as running, for ever (kfp#13401). Permissions in the run's
namespace are enough.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from lesionflow.kubeflow.kube.cluster_access import Denied, Missing, call_kubernetes
from lesionflow.kubeflow.runs.pod_reasons import ended_by, refused, waiting_for
from lesionflow.kubeflow.runs.workflow import nodes_of
from lesionflow.pipelines.training import TASKS

RUN_LABEL = "pipeline/runid"
"""KFP's API server puts it on the Workflow and, by its pod metadata, on every pod of a run."""
_NODE_NAME = "workflows.argoproj.io/node-name"


def why_pending(core_api: Any, namespace: str, run_id: str) -> list[str]:
    """Say what each pod of a run that does not run yet is waiting for.

    Args:
        core_api: a `CoreV1Api` of the kubernetes library.
        namespace: where the run's pods are.
        run_id: KFP's id of the run.

    Returns:
        A sentence for each such pod with something to say, in the order in which they were created;
        one that says so if this user may not list the pods.

    Raises:
        ClusterError: the Kubernetes API does not answer, or has a fault.
        UserError: it refuses the credentials.
    """
    try:
        pods = _pods(core_api, namespace, run_id)
    except Denied as denied:
        return [f"Why steps wait could not be checked: {denied}."]
    waiting = [pod for pod in pods if pod.status.phase == "Pending"]
    told = [(pod, waiting_for(pod, _events(core_api, namespace, pod.metadata.uid))) for pod in waiting]
    sentences = [f"{step_of(pod)} {reason}." for pod, reason in told if reason]
    return sentences + [
        f"{_step(node)} {refused(node['message'])}."
        for node in _workflow_nodes(core_api, namespace, run_id)
        if node.get("phase") == "Pending" and "is forbidden" in node.get("message", "")
    ]


def why_failed(core_api: Any, namespace: str, run_id: str) -> list[str]:
    """Say which pods of a run the cluster ended or refused: killed for memory, evicted, preempted, forbidden.

    A step that failed by itself is not the cluster's doing: its log says why. Arguments, errors and
    the order of the sentences are those of `why_pending`.
    """
    try:
        pods = _pods(core_api, namespace, run_id)
    except Denied as denied:
        return [f"Why steps ended could not be checked: {denied}."]
    told = [(pod, ended_by(pod)) for pod in pods if pod.status.phase == "Failed"]
    sentences = [f"{step_of(pod)} {reason}." for pod, reason in told if reason]
    for node in _workflow_nodes(core_api, namespace, run_id):
        message = node.get("message", "")
        if node.get("phase") in ("Error", "Failed") and "is forbidden" in message:
            sentences.append(f"{_step(node)} {refused(message)}.")
        elif node.get("phase") in ("Error", "Failed") and "pod deleted" in message:
            sentences.append(f"{_step(node)} lost its pod: it was preempted, or its node was taken away.")
    return sentences


def step_of(pod: Any) -> str:
    """The name by which users know the step that a pod works on; the pod's own name if it tells none."""
    name = (pod.metadata.annotations or {}).get(_NODE_NAME, "")
    return _step_named(name) or pod.metadata.name


def _pods(core_api: Any, namespace: str, run_id: str) -> Sequence[Any]:
    pods = call_kubernetes(core_api.list_namespaced_pod, namespace, label_selector=f"{RUN_LABEL}={run_id}").items
    return sorted(pods, key=lambda pod: (pod.metadata.creation_timestamp, pod.metadata.name))


def _events(core_api: Any, namespace: str, uid: str) -> Sequence[Any]:
    """What happened to one pod, newest first; nothing if this user may not know."""
    try:
        events = call_kubernetes(
            core_api.list_namespaced_event, namespace, field_selector=f"involvedObject.uid={uid}"
        ).items
    except Denied:
        return []
    # Newer sources fill event_time instead of last_timestamp.
    start = datetime.min.replace(tzinfo=UTC)
    return sorted(events, key=lambda event: event.last_timestamp or event.event_time or start, reverse=True)


def _workflow_nodes(core_api: Any, namespace: str, run_id: str) -> Iterable[dict[str, Any]]:
    """Argo's account of each pod of the run, also of those that were never created.

    Quota and limits are enforced when a pod is created, so a refused one leaves no pod; Argo tries
    again, and tells of it in the Workflow's status only, not in an event.
    """
    from kubernetes.client import CustomObjectsApi

    objects = CustomObjectsApi(core_api.api_client)
    labels = f"{RUN_LABEL}={run_id}"
    try:
        found = call_kubernetes(
            objects.list_namespaced_custom_object,
            "argoproj.io",
            "v1alpha1",
            namespace,
            "workflows",
            label_selector=labels,
        )
    except (Denied, Missing):
        return []
    nodes = [node for workflow in found["items"] for node in nodes_of(workflow)]
    return sorted((node for node in nodes if node.get("type") == "Pod"), key=lambda node: str(node.get("startedAt")))


def _step(node: dict[str, Any]) -> str:
    return _step_named(node.get("name", "")) or node.get("displayName", "A step")


def _step_named(node_name: str) -> str:
    """The user's name of the step in an Argo node name such as `lesionflow-x7k2p.root.finetune.executor(0)`."""
    parts = [part.split("(")[0] for part in node_name.split(".")]
    task = parts[-2] if len(parts) > 1 and parts[-1] == "executor" else parts[-1]
    driven = task.removesuffix("-driver")
    return TASKS.get(driven, driven if "." in node_name else "")
