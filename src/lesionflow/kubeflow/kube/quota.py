"""What ResourceQuotas and LimitRanges make of a pod, by the rules of the API server's admission."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from lesionflow.kubeflow.kube.nodes import Demand, quantities, shown

_MUST_BE_STATED = {"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"}
"""A quota on one of these refuses every pod with a container that does not state it."""


def with_defaults(demand: Demand, ranges: Sequence[Any]) -> Demand:
    """What admission makes of a container's demand.

    Args:
        demand: as submitted.
        ranges: the namespace's LimitRanges.
    """
    limits = dict(demand.limits)
    requests = {**limits, **demand.requests}
    for item in _items(ranges, "Container"):
        for name, amount in quantities(item.default_request).items():
            requests.setdefault(name, amount)
        for name, amount in quantities(item.default).items():
            limits.setdefault(name, amount)
    return replace(demand, requests=requests, limits=limits)


def range_conflicts(demand: Demand, ranges: Sequence[Any]) -> list[str]:
    """Why the LimitRanges would refuse a container; each completes "a task ...".

    Args:
        demand: with defaults.
        ranges: the namespace's LimitRanges.
    """
    requests, limits = demand.requests, demand.limits
    found = [
        f"asks for {shown(name, amount)} {name}, more than its default limit of {shown(name, limits[name])}"
        for name, amount in requests.items()
        if name in limits and amount > limits[name]
    ]
    for item in [*_items(ranges, "Container"), *_items(ranges, "Pod")]:
        for name, most in quantities(item.max).items():
            asked = max(limits.get(name, Decimal(0)), requests.get(name, Decimal(0)))
            if asked > most:
                found.append(f"asks for {shown(name, asked)} {name}, at most {shown(name, most)} are allowed")
            elif name not in limits:
                found.append(f"states no limit of {name}, which must be at most {shown(name, most)}")
    for item in [*_items(ranges, "Container"), *_items(ranges, "Pod")]:
        for name, least in quantities(item.min).items():
            if name not in requests:
                found.append(f"states no request of {name}, which must be at least {shown(name, least)}")
            elif requests[name] < least and item.type == "Container":  # Argo's helpers add to a pod's sum
                found.append(
                    f"asks for {shown(name, requests[name])} {name}, at least {shown(name, least)} are required"
                )
    for item in _items(ranges, "Container"):
        for name, most in quantities(item.max_limit_request_ratio).items():
            if name not in limits or not requests.get(name):
                found.append(f"must state both request and limit of {name}")
            elif limits[name] / requests[name] > most:
                found.append(f"has a limit of {name} more than {float(most):g} times its request")
    return found


def unstated(demand: Demand, quota: Any) -> list[str]:
    """What a quota wants to be stated and a container, with defaults, does not state."""
    return [name for name in _hard(quota) if name in _MUST_BE_STATED and _need(name, demand) is None]


def shortages(demand: Demand, quota: Any) -> tuple[list[str], list[str]]:
    """What of a quota does not suffice for one pod.

    Returns:
        What never suffices, and what is only used up at the moment, as in "1 of 2 pods left, 4 needed".
    """
    never: list[str] = []
    now: list[str] = []
    used = quantities(quota.status.used if quota.status else None)
    for name, hard in _hard(quota).items():
        need = _need(name, demand) or Decimal(0)
        left = max(hard - used.get(name, Decimal(0)), Decimal(0))
        if need > left:
            text = f"{shown(name, left)} of {shown(name, hard)} {name} left, {shown(name, need)} needed"
            (never if need > hard else now).append(text)
    return never, now


def _items(ranges: Sequence[Any], kind: str) -> list[Any]:
    return [item for one in ranges for item in one.spec.limits if item.type == kind]


def _hard(quota: Any) -> dict[str, Decimal]:
    return quantities(quota.spec.hard)


def _need(name: str, demand: Demand) -> Decimal | None:
    """What one pod takes of a quota's resource; None if it states nothing of it."""
    if name in ("pods", "count/pods"):
        return Decimal(1)
    source: Mapping[str, Decimal] = demand.limits if name.startswith("limits.") else demand.requests
    return source.get(name.removeprefix("limits.").removeprefix("requests."))
