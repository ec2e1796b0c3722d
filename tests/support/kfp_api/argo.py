"""A run as Argo keeps it, made from what a test wants of its steps; and what KFP's API makes of that.

Shares nothing with the product. `test_recordings.py` holds it to what the real ones said: the same nodes for the same
run, and the same task details for the same nodes.
"""

import base64
import gzip
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

NAME = "lesionflow-training-x7k2p"
FOLDED = "lesionflow-cross-validation-x7k2p"
RECORDED = (
    "fingerprint", "ingest", "duplicates", "split", "balance", "finetune", "finetune-2", "finetune-3", "evaluate",
    "gate", "export", "promote",
)  # fmt: skip
"""kfp's names of the tasks, as in the recordings."""
TRAINING = ("preflight", *RECORDED)
"""As they are now."""
BEFORE, LOOPED, AFTER = RECORDED[:3], RECORDED[3:9], ("pool", "gate")
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
Node = dict[str, Any]

_EXECUTOR = "metadata-0-1-system-container-executor"
_IMPL = "metadata-0-1-system-container-impl"


@dataclass(frozen=True)
class Attempt:
    """One pod of a step."""

    phase: str
    message: str = ""
    exit_code: int | None = None


@dataclass(frozen=True)
class Step:
    """What a test says of one task; of one in a loop, in one fold."""

    task: str
    phase: str = "Succeeded"
    """Pending, Running, Succeeded, Failed, Error; Cached; Omitted (it never came to its turn); Driving, NoDriver."""
    attempts: tuple[Attempt, ...] = ()
    """Of its pods; one like the whole if empty."""
    fold: int | None = None
    seconds: float = 10


def nodes(steps: Sequence[Step], workflow: str = NAME, phase: str = "Running", folds: int = 0) -> dict[str, Node]:
    """The nodes of a run in this phase, by id; with `folds`, as many as the loop's driver counted.

    There are no nodes of folds that have not begun.
    """
    made: list[Node] = []
    clock = START
    begun = sorted({step.fold for step in steps if step.fold is not None})
    for around, name, kind, template in _frame(workflow, begun):
        made += _frame_nodes(around, name, kind, template, phase, clock, folds)
    for step in steps:
        within = f"{workflow}(0).root(0)"
        if step.fold is not None:
            within += f".for-loop-2(0).iteration-iterations({step.fold}:{step.fold})(0).iteration-item(0)"
        made += _task(within, step, clock)
        clock += timedelta(seconds=60)
    by_name = {node["name"]: node for node in made}
    for node in made:  # what is around the attempts has them as its children
        attempts = [
            other for name, other in by_name.items() if re.fullmatch(re.escape(node["name"]) + r"\(\d+\)", name)
        ]
        executor = by_name.get(f"{node['name']}.executor")
        if children := [_id(workflow, other["name"]) for other in [*attempts, *([executor] if executor else [])]]:
            node["children"] = children
        node["id"] = _id(workflow, node["name"])
    return {node["id"]: node for node in made}


def _frame(workflow: str, begun: Sequence[int]) -> Iterator[tuple[str, str, str, str]]:
    """Around, name, kind and template of what is around the tasks: the run, its root, and each fold of the loop."""
    yield "", workflow, "Retry", "entrypoint"
    yield f"{workflow}(0).", "root-driver", "Driver", "system-dag-driver"
    yield f"{workflow}(0).", "root", "Retry", "root"
    if not begun:
        return
    root = f"{workflow}(0).root(0)."
    yield root, "for-loop-2", "Retry", "comp-for-loop-2-for-loop-2-iterator"
    loop = f"{root}for-loop-2(0)."
    yield loop, "iteration-driver", "Driver", "system-dag-driver"
    yield loop, "iteration-iterations", "TaskGroup", "comp-for-loop-2-iteration"
    for fold in begun:
        yield loop, f"iteration-iterations({fold}:{fold})", "Retry", "comp-for-loop-2-iteration"
        item = f"{loop}iteration-iterations({fold}:{fold})(0)."
        yield item, "iteration-item-driver", "Driver", "system-dag-driver"
        yield item, "iteration-item", "Retry", "comp-for-loop-2"


def _frame_nodes(
    around: str, name: str, kind: str, template: str, phase: str, clock: datetime, total: int
) -> list[Node]:
    if kind == "Driver":
        made = _driver(around, name, template, "Succeeded", clock)
        for node in made if name == "iteration-driver" else []:
            node["outputs"]["parameters"] = [{"name": "iteration-count", "value": str(total)}]
        return made
    if kind == "TaskGroup":
        return [_node(around + name, name, "TaskGroup", template, phase, clock, 600)]
    return [
        _node(around + name, name, "Retry", template, phase, clock, 600),
        _node(f"{around}{name}(0)", f"{name}(0)", "DAG", template, phase, clock, 600),
    ]


def _driver(around: str, name: str, template: str, phase: str, clock: datetime, message: str = "") -> list[Node]:
    code = {"Succeeded": 0, "Failed": 1}.get(phase)
    return [
        _node(
            around + name, name, "Retry", template, "Running" if phase == "Pending" else phase, clock, 10, message, code
        ),
        _node(f"{around}{name}(0)", f"{name}(0)", "Pod", template, phase, clock, 4, message, code),
    ]


def _task(within: str, step: Step, clock: datetime) -> list[Node]:
    task, around = step.task, f"{within}."
    executor_template = _EXECUTOR.replace("0-1", "0-1-retry") if task.startswith("finetune") else _EXECUTOR
    impl = _IMPL.replace("0-1", "0-1-retry") if task.startswith("finetune") else _IMPL
    never = "omitted: depends condition not met"
    if step.phase == "Omitted":
        return [
            _node(around + name, name, "Skipped", template, "Omitted", clock, 0, never)
            for name, template in ((f"{task}-driver", "system-container-driver"), (task, executor_template))
        ]
    if step.phase in ("Driving", "NoDriver"):
        phase = {"Driving": "Pending", "NoDriver": "Failed"}[step.phase]
        driver = _driver(
            around,
            f"{task}-driver",
            "system-container-driver",
            phase,
            clock,
            "main: Error (exit code 1)" * (phase == "Failed"),
        )
        omitted = _node(around + task, task, "Skipped", executor_template, "Omitted", clock, 0, never)
        return driver + [omitted] * (phase == "Failed")
    driver = _driver(around, f"{task}-driver", "system-container-driver", "Succeeded", clock)
    began = clock + timedelta(seconds=10)
    whole = {"Cached": "Succeeded", "Pending": "Running"}.get(step.phase, step.phase)
    seconds = 0 if step.phase == "Cached" else step.seconds
    last = step.attempts[-1] if step.attempts else Attempt(step.phase)
    made = [
        *driver,
        _node(around + task, task, "Retry", executor_template, whole, began, seconds),
        _node(f"{around}{task}(0)", f"{task}(0)", "DAG", executor_template, whole, began, seconds),
    ]
    executor = f"{around}{task}(0).executor"
    if step.phase == "Cached":
        reason = "when 'true != true' evaluated false"
        return [*made, _node(executor, "executor", "Skipped", impl, "Skipped", began, 0, reason)]
    code = 0 if whole == "Succeeded" else last.exit_code
    made.append(_node(executor, "executor", "Retry", impl, whole, began, seconds, last.message, code))
    for number, attempt in enumerate(step.attempts or (last,)):
        code = 0 if attempt.phase == "Succeeded" else attempt.exit_code
        at = began + timedelta(seconds=20 * number)
        made.append(
            _node(
                f"{executor}({number})",
                f"executor({number})",
                "Pod",
                impl,
                attempt.phase,
                at,
                seconds,
                attempt.message,
                code,
            )
        )
    return made


def _node(
    name: str,
    display: str,
    kind: str,
    template: str,
    phase: str,
    began: datetime,
    seconds: float,
    message: str = "",
    exit_code: int | None = None,
) -> Node:
    node: Node = {
        "name": name,
        "displayName": display,
        "type": kind,
        "templateName": template,
        "phase": phase,
        "startedAt": _second(began),
        "finishedAt": None if phase in ("Pending", "Running") else _second(began + timedelta(seconds=seconds)),
    }
    if message:
        node["message"] = message
    if exit_code is not None:
        node["outputs"] = {"exitCode": str(exit_code)}
    return node


def workflow(
    steps: Sequence[Step],
    run_id: str,
    phase: str = "Running",
    *,
    name: str = NAME,
    folds: int = 0,
    compressed: bool = False,
    message: str = "",
) -> dict[str, Any]:
    """The Workflow of a run; `compressed` as Argo keeps it past 1 MB."""
    found = nodes(steps, name, phase, folds)
    status: dict[str, Any] = {"phase": phase, "startedAt": _second(START)}
    if message:
        status["message"] = message
    if compressed:
        status["compressedNodes"] = base64.b64encode(gzip.compress(json.dumps(found).encode())).decode()
    else:
        status["nodes"] = found
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name, "namespace": "kubeflow", "labels": {"pipeline/runid": run_id}},
        "spec": {},
        "status": status,
    }


_STATES = {
    "Pending": "PENDING", "Running": "RUNNING", "Succeeded": "SUCCEEDED", "Skipped": "SKIPPED", "Failed": "FAILED",
    "Error": "FAILED",
}  # fmt: skip


def details(found: Iterable[Mapping[str, Any]], run_id: str = "", created: str = "") -> list[dict[str, Any]]:
    """What KFP's API tells of Argo's nodes: no full names, no messages, no pods, and no state of what was omitted."""
    told: list[dict[str, Any]] = []
    for node in found:
        one: dict[str, Any] = {
            "display_name": node["displayName"],
            "start_time": node["startedAt"],
            "end_time": node.get("finishedAt") or "0001-01-01T00:00:00Z",
        }
        if state := _STATES.get(node["phase"]):
            one["state"] = state
        if children := node.get("children"):
            one["child_tasks"] = [{"pod_name": child} for child in children]
        if run_id:
            one["run_id"] = run_id
        if created:
            one["create_time"] = created
        told.append(one)
    return told


def pod_of(step: Step, attempt: int = 0, workflow: str = NAME) -> str:
    """The name of a step's pod."""
    found = nodes([step], workflow).values()
    node = next(node for node in found if node["name"].endswith(f".executor({attempt})"))
    return f"{workflow}-{node['templateName']}-{_hash(node['name'])}"


def _id(workflow: str, name: str) -> str:
    return workflow if name == workflow else f"{workflow}-{_hash(name)}"


def _hash(text: str) -> int:
    """FNV-1a, 32 bits."""
    value = 2166136261
    for byte in text.encode():
        value = ((value ^ byte) * 16777619) % 2**32
    return value


def _second(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
