"""Node fitting by the scheduler's rules, without a cluster."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesionflow.kubeflow.kube.nodes import Demand, fit_node, pod_requests, quantities, shown, tolerates, usage

GPU = "nvidia.com/gpu"
KEYS = st.sampled_from(["dedicated", "spot", GPU])
VALUES = st.sampled_from(["", "ml", "true"])
EFFECTS = st.sampled_from(["NoSchedule", "PreferNoSchedule", "NoExecute"])


def taint(key: str, value: str | None, effect: str) -> Any:
    return SimpleNamespace(key=key, value=value, effect=effect)


def toleration(
    key: str | None = None, operator: str | None = None, value: str | None = None, effect: str | None = None
) -> Any:
    return SimpleNamespace(key=key, operator=operator, value=value, effect=effect)


TAINTS = st.builds(taint, KEYS, VALUES, EFFECTS)
TOLERATIONS = st.builds(
    toleration,
    st.none() | KEYS,
    st.none() | st.sampled_from(["Exists", "Equal"]),
    st.none() | VALUES,
    st.none() | EFFECTS,
)


def a_node(
    allocatable: dict[str, str],
    labels: dict[str, str] | None = None,
    taints: list[Any] | None = None,
    ready: str = "True",
    unschedulable: bool = False,
) -> Any:
    return SimpleNamespace(
        metadata=SimpleNamespace(name="n", labels=labels),
        spec=SimpleNamespace(taints=taints, unschedulable=unschedulable),
        status=SimpleNamespace(allocatable=allocatable, conditions=[SimpleNamespace(type="Ready", status=ready)]),
    )


@pytest.mark.parametrize(
    ("given_toleration", "given_taint", "tolerated"),
    [
        # The examples of the Kubernetes documentation, "Taints and Tolerations".
        (toleration("key1", "Equal", "value1", "NoSchedule"), taint("key1", "value1", "NoSchedule"), True),
        (toleration("key1", "Exists", None, "NoSchedule"), taint("key1", "value1", "NoSchedule"), True),
        (toleration("key1", "Equal", "value1", "NoSchedule"), taint("key1", "value1", "NoExecute"), False),
        (toleration("key1", "Equal", "value1", "NoSchedule"), taint("key2", "value2", "NoSchedule"), False),
        # "The default value for operator is Equal."
        (toleration("key1", None, "value1", "NoSchedule"), taint("key1", "value1", "NoSchedule"), True),
        (toleration("key1", None, "other", "NoSchedule"), taint("key1", "value1", "NoSchedule"), False),
        (toleration("key1", None, None, "NoSchedule"), taint("key1", "value1", "NoSchedule"), False),
        (toleration("key1", "Equal", "", "NoSchedule"), taint("key1", None, "NoSchedule"), True),
        # "An empty key with operator Exists matches all keys, values and effects."
        (toleration("", "Exists"), taint("key1", "value1", "NoExecute"), True),
        (toleration(None, "Exists"), taint("key1", "value1", "NoSchedule"), True),
        # "An empty effect matches all effects with key key1."
        (toleration("key1", "Exists", None, ""), taint("key1", "value1", "NoExecute"), True),
        (toleration("key1", "Exists"), taint("key2", "value1", "NoExecute"), False),
        # Operators of the future are not guessed at.
        (toleration("key1", "Gt", "1", "NoSchedule"), taint("key1", "2", "NoSchedule"), False),
    ],
)
def test_a_toleration_matches_by_the_documented_rules(given_toleration: Any, given_taint: Any, tolerated: bool) -> None:
    assert tolerates(given_toleration, given_taint) is tolerated


@settings(deadline=None, max_examples=200)
@given(
    labels=st.dictionaries(st.sampled_from(["zone", "accelerator"]), st.sampled_from(["a", "b"])),
    taints=st.lists(TAINTS, max_size=3),
    ready=st.sampled_from(["True", "False", "Unknown"]),
    unschedulable=st.booleans(),
    cpu=st.integers(0, 8),
    gpus=st.integers(0, 3),
    used=st.none() | st.fixed_dictionaries({"cpu": st.integers(0, 8), GPU: st.integers(0, 3)}),
    selector=st.dictionaries(st.sampled_from(["zone", "accelerator"]), st.sampled_from(["a", "b"])),
    tolerations=st.lists(TOLERATIONS, max_size=3),
    wants_cpu=st.integers(1, 8),
    wants_gpus=st.integers(0, 2),
)
def test_a_node_that_fails_one_condition_is_never_reachable(
    labels: dict[str, str],
    taints: list[Any],
    ready: str,
    unschedulable: bool,
    cpu: int,
    gpus: int,
    used: dict[str, int] | None,
    selector: dict[str, str],
    tolerations: list[Any],
    wants_cpu: int,
    wants_gpus: int,
) -> None:
    """Against an independent statement of the rules: each condition alone, by brute force."""

    def matches(rule: Any, one: Any) -> bool:
        same_value = rule.operator == "Exists" or (rule.value or "") == (one.value or "")
        return rule.effect in (None, one.effect) and rule.key in (None, one.key) and same_value

    hard = [one for one in taints if one.effect != "PreferNoSchedule"]
    if unschedulable:
        hard.append(taint("node.kubernetes.io/unschedulable", "", "NoSchedule"))
    reachable = (
        ready == "True"
        and all(labels.get(key) == value for key, value in selector.items())
        and all(any(matches(rule, one) for rule in tolerations) for one in hard)
        and cpu >= wants_cpu
        and gpus >= wants_gpus
    )
    # What a pod does not ask for is not looked at, however much of it others have taken.
    free = reachable and (
        used is None or (cpu - used["cpu"] >= wants_cpu and (not wants_gpus or gpus - used[GPU] >= wants_gpus))
    )
    wants = {"cpu": Decimal(wants_cpu), **({GPU: Decimal(wants_gpus)} if wants_gpus else {})}
    node = a_node({"cpu": str(cpu), GPU: str(gpus)}, labels, taints, ready, unschedulable)
    busy = None if used is None else {name: Decimal(amount) for name, amount in used.items()}
    found = fit_node(node, busy, Demand(wants, {}, selector, tolerations))
    assert found.reachable is reachable, found
    assert found.free is free, found
    assert all(obstacle.what and obstacle.hint for obstacle in found.obstacles)


def container(cpu: str, restart: str | None = None) -> Any:
    return SimpleNamespace(resources=SimpleNamespace(requests={"cpu": cpu}), restart_policy=restart)


@pytest.mark.parametrize(
    ("init", "main", "cpu"),
    [
        ([], ["1", "500m"], "1.5"),
        ([container("4")], ["1", "500m"], "4"),
        ([container("1"), container("1")], ["1"], "1"),
        # A sidecar runs beside what comes after it, and not beside what comes before.
        ([container("2", "Always")], ["1"], "3"),
        ([container("2", "Always"), container("3")], ["1"], "5"),
        ([container("3"), container("2", "Always")], ["1"], "3"),
        ([container("4"), container("2", "Always")], ["1"], "4"),
    ],
)
def test_what_the_scheduler_reserves_for_a_pod(init: list[Any], main: list[str], cpu: str) -> None:
    spec = SimpleNamespace(init_containers=init, containers=[container(amount) for amount in main], overhead=None)
    assert pod_requests(spec) == {"cpu": Decimal(cpu), "pods": Decimal(1)}


def test_only_pods_that_have_a_node_and_have_not_ended_use_it() -> None:
    def pod(node: str | None, phase: str) -> Any:
        spec = SimpleNamespace(
            node_name=node, init_containers=None, containers=[container("1")], overhead={"cpu": "100m"}
        )
        return SimpleNamespace(spec=spec, status=SimpleNamespace(phase=phase))

    pods = [pod("a", "Running"), pod("a", "Pending"), pod("a", "Succeeded"), pod("b", "Failed"), pod(None, "Pending")]
    assert usage(pods) == {"a": {"cpu": Decimal("2.2"), "pods": Decimal(2)}}


@pytest.mark.parametrize(
    ("resource", "amount", "words"),
    [
        ("memory", "16Gi", "16Gi"),
        ("memory", "16384Mi", "16Gi"),
        ("limits.memory", "1500M", "1.397Gi"),
        ("memory", "512Mi", "512Mi"),
        ("memory", "1000", "1000"),
        ("cpu", "3920m", "3.92"),
        ("cpu", "0", "0"),
        (GPU, "2", "2"),
    ],
)
def test_quantities_are_shown_as_people_write_them(resource: str, amount: str, words: str) -> None:
    assert shown(resource, quantities({resource: amount})[resource]) == words
