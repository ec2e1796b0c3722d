"""The scheduler's message about a pod that it could not place, read and said again in plain words.

The wording is no interface and changed often: up to 1.23 it was `node(s) had taint {k: v}, that the pod
didn't tolerate`, then `node(s) had untolerated taint {k: v}`, and the newest say only `node(s) had
untolerated taint(s)`. What is not recognised is passed on as it is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_HEAD = re.compile(r"0/(\d+) nodes are available[^:]*:\s*")
# What follows concerns preemption or dynamic resources, and repeats the count.
_TAIL = re.compile(r"[.,]?\s*(?:preemption: |no new claims to deallocate)")
_TAINT = re.compile(r"\{([^:}]+):\s*([^}]*)\}")


@dataclass(frozen=True)
class Refusal:
    """Why some of the nodes do not take the pod."""

    nodes: int | None
    """How many; None if the reason concerns the pod itself."""
    reason: str
    """The scheduler's words, without full stop."""


@dataclass(frozen=True)
class SchedulerSays:
    """What the scheduler says of a pod. One node may be refused for several reasons."""

    nodes: int
    """In the whole cluster."""
    refusals: tuple[Refusal, ...]


def parse(message: str) -> SchedulerSays | None:
    """Read the message of a PodScheduled condition or a FailedScheduling event; None if it is of another form."""
    if message.startswith("no nodes available"):
        return SchedulerSays(0, ())
    head = _HEAD.match(message)
    if not head:
        return None
    body = _TAIL.split(message[head.end() :])[0].strip().rstrip(". ")
    # Not at every comma: one reason has a comma of its own, and so may a list of plugins.
    parts = re.split(r",\s*(?=\d+ )", body) if body else []
    return SchedulerSays(int(head[1]), tuple(_refusal(part) for part in parts))


def explain_unschedulable(message: str, node_selector: Mapping[str, str]) -> str:
    """Say why no node takes a pod, e.g. "of 3 nodes, 1 has no nvidia.com/gpu free, 2 are cordoned".

    Args:
        message: the scheduler's.
        node_selector: the pod's, to name the labels that no node has.
    """
    said = parse(message)
    if said is None:
        return f"the scheduler says: {message.rstrip('. ')}"
    if not said.nodes:
        return "the cluster has no node"
    if all(refusal.nodes is None for refusal in said.refusals):
        return ", ".join(refusal.reason for refusal in said.refusals) or "no reason was given"
    told = ", ".join(_told(refusal, node_selector) for refusal in said.refusals)
    return f"of {said.nodes} {'node' if said.nodes == 1 else 'nodes'}, {told}"


def _refusal(part: str) -> Refusal:
    count, space, reason = part.strip().partition(" ")
    return Refusal(int(count), reason.strip()) if space and count.isdigit() else Refusal(None, part.strip())


def _told(refusal: Refusal, node_selector: Mapping[str, str]) -> str:
    one = refusal.nodes == 1
    has, is_, does = ("has", "is", "does") if one else ("have", "are", "do")
    reason = refusal.reason
    if reason.startswith("Insufficient "):
        said = f"{has} not enough {reason.removeprefix('Insufficient ')} free"
    elif "taint" in reason:
        found = _TAINT.search(reason)
        taint = f" {found[1].strip()}{'=' + found[2].strip() if found and found[2].strip() else ''}" if found else ""
        said = f"{has} a taint{taint} that it does not tolerate"
    elif "node selector" in reason or "node affinity/selector" in reason or "[NodeAffinity]" in reason:
        labels = ", ".join(f"{key}={value}" for key, value in node_selector.items())
        said = f"{does} not have the {'label ' + labels if labels else 'labels'} that it selects"
    elif reason.endswith("were unschedulable"):
        said = f"{is_} cordoned"
    elif reason == "Too many pods":
        said = f"{has} no room for another pod"
    else:
        said = f"{is_} refused ({reason.removeprefix('node(s) ')})"
    return f"{refusal.nodes or ''} {said}".strip()
