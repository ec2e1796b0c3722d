"""Why a pod waits, was refused, or was ended: in words that complete "finetune-head ..."."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from lesionflow.kubeflow.kube.nodes import pod_requests, quantities, shown
from lesionflow.kubeflow.kube.scheduling import explain_unschedulable

_IMAGE_REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
_CONFIG_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"}
_VOLUME_EVENTS = {"FailedMount", "FailedAttachVolume", "FailedMapVolume"}
_PATIENCE = timedelta(minutes=3)
"""An unremarkable pod may take so long to start: pulling a GPU image takes minutes."""
_QUOTA = re.compile(r"exceeded quota: ([^,\s]+), requested: (\S+), used: (\S+), limited: (\S+)")
_UNSTATED = re.compile(r"failed quota: ([^:\s]+): must specify (.+)")


def waiting_for(pod: Any, events: Sequence[Any]) -> str:
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
    why = explain_unschedulable(message, pod.spec.node_selector or {})
    said = f"waits for a node{f' with {wants}' if wants else ''}: {why}"
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


def refused(message: str) -> str:
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


def ended_by(pod: Any) -> str:
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


def _text(message: str | None) -> str:
    """A message as part of a sentence."""
    return " ".join((message or "").split()).rstrip(". ")
