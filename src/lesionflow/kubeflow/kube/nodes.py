"""Which nodes can take a pod, by the scheduler's own rules, and what keeps it off the others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple


class _Taint(NamedTuple):
    key: str
    value: str
    effect: str


_CORDON = _Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")


@dataclass(frozen=True)
class Demand:
    """What one pod asks of a node. Quantities are in base units: cores, bytes, devices."""

    requests: Mapping[str, Decimal]
    limits: Mapping[str, Decimal]
    node_selector: Mapping[str, str]
    tolerations: Sequence[Any]
    """Objects with `key`, `operator`, `value` and `effect`, each of which may be None or empty."""


@dataclass(frozen=True)
class Obstacle:
    """One reason why a node does not take a pod."""

    what: str
    """Completes "node gpu-1 ...", e.g. "is cordoned"."""
    hint: str
    passing: bool = False
    """Goes away by itself, when other pods end."""


@dataclass(frozen=True)
class NodeFit:
    """How one node fits a demand."""

    name: str
    obstacles: tuple[Obstacle, ...]
    offers: frozenset[str]
    """Resources of the demand of which the node has any."""

    @property
    def reachable(self) -> bool:
        """Whether the pod fits here, now or when others have ended."""
        return all(obstacle.passing for obstacle in self.obstacles)

    @property
    def free(self) -> bool:
        """Whether the pod fits here now."""
        return not self.obstacles


def tolerates(toleration: Any, taint: Any) -> bool:
    """Whether a toleration matches a taint.

    An empty effect matches every effect, an empty key every key; `Exists` ignores the value; no
    operator means `Equal`.
    """
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return toleration.operator in (None, "", "Equal") and (toleration.value or "") == (taint.value or "")


def fit_node(node: Any, used: Mapping[str, Decimal] | None, demand: Demand) -> NodeFit:
    """Hold a demand against one node.

    Args:
        node: a V1Node.
        used: what the pods on it request already, as `usage` gives it; None where that is unknown.
        demand: what the pod asks for.
    """
    allocatable = quantities(node.status.allocatable)
    obstacles = [*_refusals(node, demand)]
    for resource, wanted in demand.requests.items():
        has = allocatable.get(resource, Decimal(0))
        free = has - (used or {}).get(resource, Decimal(0))
        if has < wanted:
            amount = shown(resource, has) if has else "no"
            obstacles.append(
                Obstacle(
                    f"has {amount} {resource} allocatable and {shown(resource, wanted)} is asked for",
                    f"ask for less {resource} in the profile, or use a larger node",
                )
            )
        elif free < wanted:
            obstacles.append(
                Obstacle(
                    f"has {shown(resource, max(free, Decimal(0)))} of {shown(resource, has)} {resource} free",
                    "the task waits until other pods have ended",
                    passing=True,
                )
            )
    offers = frozenset(name for name in demand.requests if allocatable.get(name))
    return NodeFit(node.metadata.name, tuple(obstacles), offers)


def nearest(fits: Iterable[NodeFit], accelerator: str | None) -> NodeFit:
    """The node that fits best: one with the accelerator before one without, then the fewest lasting obstacles."""
    return min(
        fits,
        key=lambda node: (
            accelerator is not None and accelerator not in node.offers,
            sum(not obstacle.passing for obstacle in node.obstacles),
            node.name,
        ),
    )


def usage(pods: Iterable[Any]) -> dict[str, dict[str, Decimal]]:
    """What running and starting pods request, by node and resource; each pod counts one of `pods`."""
    nodes: dict[str, dict[str, Decimal]] = {}
    for pod in pods:
        if pod.spec.node_name and pod.status.phase not in ("Succeeded", "Failed"):
            total = nodes.setdefault(pod.spec.node_name, {})
            for resource, amount in pod_requests(pod.spec).items():
                total[resource] = total.get(resource, Decimal(0)) + amount
    return nodes


def pod_requests(spec: Any) -> dict[str, Decimal]:
    """What the scheduler reserves for a pod: its containers together, or its largest init container.

    An init container that restarts is a sidecar: it runs beside the containers and all later init
    containers.
    """
    together: dict[str, Decimal] = {"pods": Decimal(1)}
    peak: dict[str, Decimal] = {}
    for container in spec.init_containers or []:
        asked = _requests(container)
        if getattr(container, "restart_policy", None) == "Always":
            together = _sum(together, asked)
            asked = together
        else:
            asked = _sum(together, asked)
        peak = {name: max(peak.get(name, Decimal(0)), asked.get(name, Decimal(0))) for name in {*peak, *asked}}
    for container in spec.containers or []:
        together = _sum(together, _requests(container))
    largest = {name: max(peak.get(name, Decimal(0)), together.get(name, Decimal(0))) for name in {*peak, *together}}
    return _sum(largest, quantities(spec.overhead))


def quantities(amounts: Mapping[str, str] | None) -> dict[str, Decimal]:
    """Kubernetes' quantities as numbers in base units."""
    from kubernetes.utils.quantity import parse_quantity

    return {name: parse_quantity(amount) for name, amount in (amounts or {}).items()}


def shown(resource: str, amount: Decimal) -> str:
    """A quantity for people: memory in GiB or MiB, anything else as a plain number."""
    if "memory" in resource or "storage" in resource:
        for unit, size in (("Gi", 2**30), ("Mi", 2**20)):
            if amount >= size:
                return f"{float(amount / size):.4g}{unit}"
    return f"{float(amount):.6g}"


def _refusals(node: Any, demand: Demand) -> Iterable[Obstacle]:
    """What has nothing to do with resources."""
    ready = next((c.status for c in node.status.conditions or [] if c.type == "Ready"), "Unknown")
    if ready != "True":
        yield Obstacle("is not Ready", f"see why: kubectl describe node {node.metadata.name}")
    labels = node.metadata.labels or {}
    for key, value in demand.node_selector.items():
        if labels.get(key) != value:
            has = f"the label {key}={labels[key]}" if key in labels else f"no label {key}"
            yield Obstacle(
                f"has {has} and the profile selects {key}={value}", f"correct {key} in the profile's node_selector"
            )
    taints = [taint for taint in node.spec.taints or [] if taint.effect in ("NoSchedule", "NoExecute")]
    if node.spec.unschedulable:
        taints.append(_CORDON)  # the scheduler too treats a cordon as this taint
    for taint in {(taint.key, taint.effect): taint for taint in taints if not _tolerated(taint, demand)}.values():
        if taint.key == _CORDON.key:
            yield Obstacle("is cordoned", f"end its maintenance: kubectl uncordon {node.metadata.name}")
        elif ready == "True" or not taint.key.startswith("node.kubernetes.io/"):
            text = f"{taint.key}{'=' + taint.value if taint.value else ''}:{taint.effect}"
            yield Obstacle(f"has the taint {text}, which is not tolerated", "add it to the profile's tolerations")


def _tolerated(taint: Any, demand: Demand) -> bool:
    return any(tolerates(toleration, taint) for toleration in demand.tolerations)


def _requests(container: Any) -> dict[str, Decimal]:
    resources = container.resources
    return quantities(resources.requests) if resources else {}


def _sum(one: Mapping[str, Decimal], other: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {name: one.get(name, Decimal(0)) + other.get(name, Decimal(0)) for name in {*one, *other}}
