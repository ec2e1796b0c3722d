"""Which nodes of the cluster can take the pipeline's tasks."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from lesionflow.kubeflow.doctor import findings
from lesionflow.kubeflow.doctor.findings import Finding, Status
from lesionflow.kubeflow.doctor.subject import Subject
from lesionflow.kubeflow.kube.cluster_access import Denied, Missing, call_kubernetes
from lesionflow.kubeflow.kube.nodes import Demand, NodeFit, fit_node, nearest, quantities, usage
from lesionflow.profile import ClusterProfile, Needs

TRAINING = "the fine-tune tasks"
_WORST_FIRST = (Status.CROSS, Status.UNCHECKED, Status.BUSY)


def demands(profile: ClusterProfile) -> dict[str, Demand]:
    """What the pipeline's tasks ask of their nodes, by who asks."""
    training = _demand(profile.training)
    devices = {profile.gpu_resource: Decimal(profile.gpus)} if profile.gpus else {}
    return {
        TRAINING: Demand(
            requests={**training.requests, **devices},
            limits={**training.limits, **devices},
            node_selector=profile.node_selector,
            tolerations=profile.tolerations,
        ),
        "the other steps": _demand(profile.steps),
    }


def nodes(subject: Subject) -> Finding:
    """There are nodes that take a fine-tune task, and others that take the rest."""
    found: Sequence[Any] = call_kubernetes(subject.core.list_node).items
    if not found:
        return findings.cross("the cluster has no node", "add nodes to it")
    try:
        pods = call_kubernetes(
            subject.core.list_pod_for_all_namespaces, field_selector="status.phase!=Succeeded,status.phase!=Failed"
        ).items
        used = usage(pods)
    except Denied:
        used = None
    found_fits: list[list[NodeFit]] = []
    verdicts: list[Finding] = []
    for task, demand in demands(subject.profile).items():
        whole = replace(demand, requests={"pods": Decimal(1), **demand.requests})
        fits = [fit_node(node, None if used is None else used.get(node.metadata.name, {}), whole) for node in found]
        found_fits.append(fits)
        if not any(node.free for node in fits):
            verdicts.append(_no_node(subject, task, found, fits))
    if verdicts:
        return min(verdicts, key=lambda finding: _WORST_FIRST.index(finding.status))
    free = sorted(node.name for node in found_fits[0] if node.free)
    what = f"{_counted(free, found)} can take a fine-tune task: {_listed(free)}"
    return findings.fine(what if used is not None else f"{what}; how busy they are could not be checked")


def _demand(needs: Needs) -> Demand:
    """A container that states a limit only, asks for as much."""
    requests = {"cpu": needs.cpu_request or needs.cpu_limit, "memory": needs.memory_request or needs.memory_limit}
    limits = {"cpu": needs.cpu_limit, "memory": needs.memory_limit}
    stated = [quantities({name: amount for name, amount in some.items() if amount}) for some in (requests, limits)]
    return Demand(stated[0], stated[1], {}, ())


def _no_node(subject: Subject, task: str, found: Sequence[Any], fits: Sequence[NodeFit]) -> Finding:
    """Why no node takes the task now."""
    profile = subject.profile
    reachable = [node for node in fits if node.reachable]
    if reachable:
        best = nearest(reachable, None)
        what = f"{_counted(reachable, found)} can take {task}, but none now"
        return findings.busy(f"{what}: node {best.name} {best.obstacles[0].what}", best.obstacles[0].hint)
    accelerator = profile.gpu_resource if profile.gpus and task == TRAINING else None
    best = nearest(fits, accelerator)
    if accelerator and accelerator not in best.offers:
        others = sorted({name for node in found for name in _devices(node)})
        what = f"no node offers {accelerator}{'; there are ' + ', '.join(others) if others else ''}"
        hint = (
            "set gpu_resource in the profile to one of these"
            if others
            else "add nodes with it and its device plugin, or use --profile cpu-only"
        )
    else:
        lasting = [obstacle for obstacle in best.obstacles if not obstacle.passing]
        gpu = f" has {accelerator} but" if accelerator else ""
        what = f"no node takes {task}; nearest: node {best.name}{gpu} {' and '.join(o.what for o in lasting)}"
        hint = "; ".join(dict.fromkeys(obstacle.hint for obstacle in lasting))
    if _autoscaled(subject):
        return findings.unchecked(f"{what}, now; the cluster's autoscaler may add a node that does")
    return findings.cross(what, hint)


def _autoscaled(subject: Subject) -> bool:
    """Whether nodes may come that are not there yet."""
    try:
        call_kubernetes(subject.core.read_namespaced_config_map, "cluster-autoscaler-status", "kube-system")
    except (Missing, Denied):
        return False
    return True


def _devices(node: Any) -> list[str]:
    """Extended resources of a node that may be accelerators, e.g. nvidia.com/mig-1g.10gb."""
    amounts = quantities(node.status.allocatable)
    return [name for name, amount in amounts.items() if "/" in name and amount]


def _counted(some: Sequence[Any], every: Sequence[Any]) -> str:
    return f"{len(some)} of {len(every)} {'node' if len(every) == 1 else 'nodes'}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
