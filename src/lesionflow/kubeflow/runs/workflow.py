"""Argo's account of a run, its Workflow: what KFP's API is told of a run, and what it no longer tells past 1 MB.

The nodes are named by their way through the pipeline, each part with the number of its attempt behind it:
`WORKFLOW(0).root(0).for-loop-2(0).iteration-iterations(3:3)(0).iteration-item(0).finetune(0).executor(1)`.
"""

import base64
import binascii
import gzip
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, cast

from lesionflow.errors import ClusterError
from lesionflow.kubeflow.runs.pod_names import pod_name
from lesionflow.kubeflow.runs.task_state import TASKS, Attempt, RunState, Status, TaskState

_PART = re.compile(r"(?P<base>[^.()]+)(?P<loop>\(\d+:[^()]*\))?(?:\((?P<attempt>\d+)\))?(?:\.|$)")
_STOPPED = ("workflow shutdown with strategy", "Stopped with strategy")
"""How Argo begins what it says of a run that was stopped, and of what it therefore no longer does."""
_STATES = {"": "PENDING", "Pending": "PENDING", "Running": "RUNNING", "Succeeded": "SUCCEEDED"}
"""Argo's phase of a Workflow -> KFP's state of a run; Failed and Error are FAILED."""
_POD: dict[str, Status] = {"Pending": "waiting", "Running": "running", "Succeeded": "done"}


@dataclass(frozen=True)
class Place:
    """Where in the pipeline a node belongs."""

    task: str
    """kfp's name of the task."""
    fold: int | None
    around: tuple[int, ...]
    """The attempts of everything around the task, from the outside in."""
    part: Literal["driver", "task", "executor"]
    attempt: tuple[int, ...]
    """Number of the task's attempt, then of its executor's within it; the node around the attempts lacks the last."""


def place_of(node_name: str) -> Place | None:
    """Read a node's name; None if it belongs to none of our tasks."""
    matches = list(_PART.finditer(node_name))
    if "".join(match[0] for match in matches) != node_name:
        return None
    bases = [match["base"] for match in matches]
    loops = [match["loop"] for match in matches if match["loop"]]
    fold = int(loops[-1].strip("()").split(":")[0]) if loops else None
    if len(bases) > 1 and bases[-1] == "executor" and bases[-2] in TASKS:
        task, part, own = bases[-2], "executor", 2
    elif bases and bases[-1] in TASKS:
        task, part, own = bases[-1], "task", 1
    elif bases and bases[-1].removesuffix("-driver") in TASKS:
        task, part, own = bases[-1].removesuffix("-driver"), "driver", 1
    else:
        return None
    around = tuple(int(match["attempt"] or 0) for match in matches[:-own])
    attempt = tuple(int(match["attempt"]) for match in matches[-own:] if match["attempt"])
    return Place(task, fold, around, part, attempt)


def nodes_of(workflow: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The nodes of a Workflow, compressed or not.

    Raises:
        ClusterError: they are kept elsewhere, or they are damaged.
    """
    status = workflow.get("status") or {}
    found: Any = status.get("nodes")
    if packed := status.get("compressedNodes"):
        try:
            found = json.loads(gzip.decompress(base64.b64decode(packed, validate=True)))
        except (binascii.Error, OSError, EOFError, zlib.error, ValueError, TypeError) as error:
            raise ClusterError(f"The compressed nodes of the Workflow are damaged ({type(error).__name__}).") from None
    elif not found and status.get("offloadNodeStatusVersion"):
        raise ClusterError("Argo keeps the nodes of the Workflow in a database, which cannot be read from here.")
    nodes: Iterable[Any] = cast(dict[str, Any], found).values() if isinstance(found, dict) else ()
    return [node for node in nodes if isinstance(node, dict) and isinstance(cast(Any, node).get("name"), str)]


def workflow_state(workflow: Mapping[str, Any]) -> RunState:
    """A run as its Workflow tells of it.

    Raises:
        ClusterError: of `nodes_of`.
    """
    name = str(workflow.get("metadata", {}).get("name", ""))
    status = workflow.get("status") or {}
    nodes = nodes_of(workflow)
    message = str(status.get("message") or "")
    spec = workflow.get("spec") or {}
    # KFP stops a run by leaving it no time at all; Argo's own way, and kubectl's, is a shutdown.
    stopped = _stopped(message) or bool(spec.get("shutdown")) or spec.get("activeDeadlineSeconds") == 0
    tasks = _tasks(name, nodes)
    if stopped:  # what was at work ends as if it had failed
        tasks = [replace(task, status="killed") if _was_ended(task) else task for task in tasks]
    return RunState(
        state=_STATES.get(status.get("phase") or "", "FAILED"),
        tasks=tasks,
        folds=_folds(name, nodes),
        stopped=stopped,
        message=message,
    )


def _was_ended(task: TaskState) -> bool:
    """Whether a failed task gave no reason of its own for its end."""
    return task.status == "failed" and not (task.attempts and task.attempts[-1].exit_status in (1, 2, 3))


def _folds(workflow: str, nodes: Sequence[Mapping[str, Any]]) -> int | None:
    if not workflow.startswith("lesionflow-cross-validation-"):
        return None
    # The loop's driver counts them before any begins; of those that may not run yet there is no node.
    drivers = [node for node in nodes if re.search(r"\.iteration-driver(\(\d+\))?$", node["name"])]
    counts = {count for node in drivers if (count := _output(node, "iteration-count")).isdigit()}
    return max(map(int, counts), default=0)


def _output(node: Mapping[str, Any], name: str) -> str:
    """An output parameter of a node; empty if it has none of that name."""
    outputs = node.get("outputs")
    parameters = cast(Any, outputs).get("parameters") if isinstance(outputs, Mapping) else None
    given = [one for one in cast(list[Any], parameters or []) if isinstance(one, Mapping)]
    return next((str(one.get("value") or "") for one in given if one.get("name") == name), "")


_Node = tuple[Place, Mapping[str, Any]]


def _tasks(workflow: str, nodes: Sequence[Mapping[str, Any]]) -> list[TaskState]:
    grouped: defaultdict[tuple[str, int | None], list[_Node]] = defaultdict(list)
    for node in nodes:
        if place := place_of(node["name"]):
            grouped[place.task, place.fold].append((place, node))
    return [_task(workflow, name, fold, found) for (name, fold), found in grouped.items()]


def _task(workflow: str, name: str, fold: int | None, found: Sequence[_Node]) -> TaskState:
    """One task from all nodes that belong to it, those in earlier attempts of what is around it included."""
    # A run that is stopped leaves a node for every attempt that it no longer makes.
    real = [(place, node) for place, node in found if not _never(node)] or list(found)
    newest = max(place.around for place, _ in real)
    real = sorted(((place, node) for place, node in real if place.around == newest), key=lambda item: item[0].attempt)
    drivers, wholes, executors = (
        [node for place, node in real if place.part == part] for part in ("driver", "task", "executor")
    )
    pods = [node for node in executors if node.get("type") == "Pod"]
    attempts = [_attempt(workflow, number, node) for number, node in enumerate(pods)]
    whole = wholes[0] if wholes else {}
    status, message = _status(drivers, whole, executors, attempts)
    ended = status in ("done", "reused", "failed", "killed")
    return TaskState(
        name,
        status,
        fold,
        started=attempts[0].started if attempts else _moment(whole.get("startedAt")),
        ended=(attempts[-1].ended if attempts else _moment(whole.get("finishedAt"))) if ended else None,
        attempts=attempts,
        message=message,
    )


def _never(node: Mapping[str, Any]) -> bool:
    """Whether a node stands for work that was not even begun."""
    message = str(node.get("message") or "")
    return node.get("phase") == "Omitted" or _stopped(message)


def _status(
    drivers: Sequence[Mapping[str, Any]],
    whole: Mapping[str, Any],
    executors: Sequence[Mapping[str, Any]],
    attempts: Sequence[Attempt],
) -> tuple[Status, str]:
    """A task's status, and the cluster's words where it failed or waits."""
    phase = whole.get("phase")
    message = str(whole.get("message") or "")
    if any(node.get("phase") == "Skipped" for node in executors):
        return "reused", ""  # the driver found the result in the cache, so the pod that would have worked was skipped
    if phase == "Succeeded":
        return "done", ""
    if phase in ("Failed", "Error"):
        last = attempts[-1] if attempts else Attempt("failed")
        return "killed" if _stopped(message) or _stopped(last.message) else "failed", last.reason or message
    failed = [node for node in drivers if node.get("phase") in ("Failed", "Error")]
    if failed and len(failed) == len(drivers):
        words = str(failed[-1].get("message") or "")
        return "killed" if _stopped(words) else "failed", f"its driver failed: {words or 'it gave no reason'}"
    if phase in ("Omitted", "Skipped"):
        return "waiting", ""
    if not attempts:
        return "waiting", "its pod is being prepared" if drivers else ""
    if attempts[-1].status in ("running", "done"):
        return "running", ""
    return "waiting", attempts[-1].message or "its pod is Pending"


def _stopped(message: str) -> bool:
    return message.startswith(_STOPPED)


def _attempt(workflow: str, number: int, node: Mapping[str, Any]) -> Attempt:
    message = str(node.get("message") or "")
    code = str((node.get("outputs") or {}).get("exitCode") or "")
    return Attempt(
        status=_POD.get(str(node.get("phase")), "killed" if _stopped(message) else "failed"),
        number=number,
        pod=pod_name(workflow, str(node.get("templateName") or ""), node["name"]),
        started=_moment(node.get("startedAt")),
        ended=_moment(node.get("finishedAt")),
        message=message,
        exit_code=int(code) if code.isdigit() else None,
    )


def _moment(value: Any) -> datetime | None:
    try:
        when = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return when if when.tzinfo else None
