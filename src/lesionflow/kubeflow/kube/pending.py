"""Why a run does not get on: one sentence for each of its pods that wait, were refused, or were killed.

KFP's own interface shows such a step as running, for ever (kfp#13401). Permissions in the run's
namespace are enough.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from lesionflow.kubeflow.kube.cluster_access import Denied, Missing, ask
from lesionflow.kubeflow.kube.nodes import pod_requests, quantities, shown
from lesionflow.kubeflow.kube.scheduling import explain

RUN_LABEL = "pipeline/runid"
"""KFP's API server puts it on the Workflow and, by its pod metadata, on every pod of a run."""
_NODE_NAME = "workflows.argoproj.io/node-name"
_IMAGE_REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
_CONFIG_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"}
_VOLUME_EVENTS = {"FailedMount", "FailedAttachVolume", "FailedMapVolume"}
_PATIENCE = timedelta(minutes=3)
"""An unremarkable pod may take so long to start: pulling a GPU image takes minutes."""
_QUOTA = re.compile(r"exceeded quota: ([^,\s]+), requested: (\S+), used: (\S+), limited: (\S+)")
_UNSTATED = re.compile(r"failed quota: ([^:\s]+): must specify (.+)")


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
    told = [(pod, _waiting_for(pod, _events(core_api, namespace, pod.metadata.uid))) for pod in waiting]
    sentences = [f"{step_of(pod)} {reason}." for pod, reason in told if reason]
    return sentences + [
        f"{_step(node)} {_refused(node['message'])}."
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
    told = [(pod, _ended_by(pod)) for pod in pods if pod.status.phase == "Failed"]
    sentences = [f"{step_of(pod)} {reason}." for pod, reason in told if reason]
    for node in _workflow_nodes(core_api, namespace, run_id):
        message = node.get("message", "")
        if node.get("phase") in ("Error", "Failed") and "is forbidden" in message:
            sentences.append(f"{_step(node)} {_refused(message)}.")
        elif node.get("phase") in ("Error", "Failed") and "pod deleted" in message:
            sentences.append(f"{_step(node)} lost its pod: it was preempted, or its node was taken away.")
    return sentences


def step_of(pod: Any) -> str:
    """The name by which users know the step that a pod works on; the pod's own name if it tells none."""
    name = (pod.metadata.annotations or {}).get(_NODE_NAME, "")
    return _step_named(name) or pod.metadata.name


def _pods(core_api: Any, namespace: str, run_id: str) -> Sequence[Any]:
    pods = ask(core_api.list_namespaced_pod, namespace, label_selector=f"{RUN_LABEL}={run_id}").items
    return sorted(pods, key=lambda pod: (pod.metadata.creation_timestamp, pod.metadata.name))


def _events(core_api: Any, namespace: str, uid: str) -> Sequence[Any]:
    """What happened to one pod, newest first; nothing if this user may not know."""
    try:
        events = ask(core_api.list_namespaced_event, namespace, field_selector=f"involvedObject.uid={uid}").items
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

    from lesionflow.kubeflow.runs.workflow import nodes_of

    objects = CustomObjectsApi(core_api.api_client)
    labels = f"{RUN_LABEL}={run_id}"
    try:
        found = ask(
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


def _waiting_for(pod: Any, events: Sequence[Any]) -> str:
    """What a Pending pod waits for; empty if it is merely starting."""
    scheduled = next((c for c in pod.status.conditions or [] if c.type == "PodScheduled"), None)
    if scheduled is not None and scheduled.status == "False":
        if scheduled.reason == "SchedulingGated":
            return "is held back by a scheduling gate, as queueing systems do; it starts when its queue admits it"
        return _unschedulable(pod, scheduled.message or "", events)
    for container in [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]:
        waiting = container.state and container.state.waiting
        if waiting and waiting.reason in _IMAGE_REASONS:
            return _image(container.image, waiting, events)
        if waiting and waiting.reason in _CONFIG_REASONS:
            return f"cannot start its container: {_text(waiting.message) or waiting.reason}"
    for event in events:
        if event.reason in _VOLUME_EVENTS:
            return f"waits for a volume: {_text(event.message)}"
        if event.reason == "FailedCreatePodSandBox":
            return f"cannot start on node {pod.spec.node_name}: {_text(event.message)}"
    if datetime.now(UTC) - pod.metadata.creation_timestamp < _PATIENCE:
        return ""
    # No exact time: who asks again shows only what is new.
    long = f"for more than {int(_PATIENCE.total_seconds()) // 60} minutes"
    if not pod.spec.node_name:
        return f"has waited {long} for the scheduler, which has not said why"
    if events and events[0].reason == "Pulling":
        return f"has been pulling its image {long} on node {pod.spec.node_name}"
    return f"has been starting {long} on node {pod.spec.node_name}"


def _unschedulable(pod: Any, message: str, events: Sequence[Any]) -> str:
    reasons = {event.reason for event in reversed(events)}
    asked = {name: amount for name, amount in pod_requests(pod.spec).items() if name != "pods" and amount}
    # The accelerator first: it is what is scarce.
    wants = ", ".join(f"{shown(n, asked[n])} {n}" for n in sorted(asked, key=lambda n: ("/" not in n, n)))
    said = f"waits for a node{f' with {wants}' if wants else ''}: {explain(message, pod.spec.node_selector or {})}"
    if "TriggeredScaleUp" in reasons:
        return f"{said}; the cluster's autoscaler is adding one"
    if "NotTriggerScaleUp" in reasons:
        return f"{said}; the cluster's autoscaler has no kind of node that would fit"
    return said


def _image(image: str, waiting: Any, events: Sequence[Any]) -> str:
    """Back-off messages say nothing of the cause; the events before them do."""
    causes = [event.message for event in events if event.reason == "Failed" and "Failed to pull" in event.message]
    text = " ".join([*causes[:1], waiting.message or ""]).lower()
    if waiting.reason == "InvalidImageName":
        why = "its name is not valid"
    elif "not found" in text or "manifest unknown" in text:
        why = "the registry has no such image; build and push it with 'make images', then submit again"
    elif any(word in text for word in ("unauthorized", "denied", "forbidden", "authentication", "401", "403")):
        why = "the registry refuses the cluster's credentials; give its nodes or the ServiceAccount a pull secret"
    elif any(word in text for word in ("no such host", "i/o timeout", "connection refused", "dial tcp", "deadline")):
        why = "the nodes cannot reach the registry"
    elif "too many requests" in text or "toomanyrequests" in text:
        why = "the registry limits its pulls at the moment"
    else:
        why = _text(causes[0] if causes else waiting.message) or waiting.reason
    return f"cannot pull {image}: {why}"


def _refused(message: str) -> str:
    """A pod that the API server did not admit."""
    if found := _QUOTA.search(message):
        requested, used, limited = (dict(re.findall(r"([^=,]+)=([^,]+)", part)) for part in found.groups()[1:])
        told = ", ".join(
            f"{amount} more {name} when {used.get(name)} of {limited.get(name)} are in use"
            for name, amount in requested.items()
        )
        return f"is held back by quota {found[1]}: it asks for {told}"
    if found := _UNSTATED.search(message):
        return (
            f"is refused by quota {found[1]}, which wants {found[2].split(' for:')[0]} stated for every container; "
            "give the namespace a LimitRange with defaults"
        )
    return f"is refused: {_text(message)}"


def _ended_by(pod: Any) -> str:
    """What the cluster did to a pod that failed; empty if it failed by itself."""
    status = pod.status
    for container in [*(status.init_container_statuses or []), *(status.container_statuses or [])]:
        ended = container.state and container.state.terminated
        if ended and ended.reason == "OOMKilled":
            return f"was killed for memory: it needed more than its limit{_limit(pod, container.name)}"
    disrupted = next((c for c in status.conditions or [] if c.type == "DisruptionTarget" and c.status == "True"), None)
    reason = status.reason or (disrupted.reason if disrupted else "")
    message = _text(status.message or (disrupted.message if disrupted else ""))
    if reason in ("Preempting", "Preempted", "PreemptionByScheduler"):
        return "was preempted: a pod of higher priority took its place"
    if reason == "DeadlineExceeded":
        return "was ended: it ran longer than its deadline"
    if reason == "Evicted" or disrupted:
        return f"was evicted{': ' + message if message else ''}"
    if reason in ("NodeShutdown", "Terminated", "NodeLost", "Shutdown"):
        return f"lost its node{': ' + message if message else ''}"
    return f"was ended by its node ({reason}){': ' + message if message else ''}" if reason else ""


def _limit(pod: Any, name: str) -> str:
    containers = [*(pod.spec.init_containers or []), *(pod.spec.containers or [])]
    limits = next((c.resources.limits for c in containers if c.name == name and c.resources), None)
    amount = quantities(limits).get("memory")
    return f" of {shown('memory', amount)}" if amount else ""


def _step(node: dict[str, Any]) -> str:
    return _step_named(node.get("name", "")) or node.get("displayName", "A step")


def _step_named(node_name: str) -> str:
    """The user's name of the step in an Argo node name such as `lesionflow-x7k2p.root.finetune.executor(0)`."""
    from lesionflow.pipelines.training import TASKS

    parts = [part.split("(")[0] for part in node_name.split(".")]
    task = parts[-2] if len(parts) > 1 and parts[-1] == "executor" else parts[-1]
    driven = task.removesuffix("-driver")
    return TASKS.get(driven, driven if "." in node_name else "")


def _text(message: str | None) -> str:
    """A message as part of a sentence."""
    return " ".join((message or "").split()).rstrip(". ")
