"""The names of a step's pods, worked out from KFP's account of a run, which tells them of no task.

It tells the ids of each node's children, and Argo makes an id, and the name of a pod, from a hash of the node's name.
"""

from collections.abc import Iterator, Sequence
from typing import Any

_TEMPLATES = (
    "metadata-0-1-retry-system-container-impl",
    "metadata-0-1-system-container-impl",
    "retry-system-container-impl",
    "system-container-impl",
)
"""What KFP's compiler calls the template of an executor: by whether it has labels and whether it is retried."""
_MOST_ATTEMPTS = 20
_LONGEST_PREFIX = 242


def pod_name(workflow: str, template: str, node_name: str) -> str:
    """What Argo calls the pod of a node (pod-name-format v2)."""
    prefix = f"{workflow}-{template}" if template else workflow
    return f"{prefix[:_LONGEST_PREFIX]}-{_hashed(node_name)}"


def pods_of(run: Any, task: str, fold: int | None) -> Iterator[str]:
    """Names that the pods of a task may have, the newest attempt's first.

    Args:
        run: of `get_run`.
        task: kfp's name of it.
        fold: of a cross-validation, from 0; None for a task in no loop, or for the first fold that has one.
    """
    details: Sequence[Any] = (run.run_details.task_details if run.run_details else None) or []
    children = {child.pod_name for detail in details for child in detail.child_tasks or [] if child.pod_name}
    names = [detail.display_name or "" for detail in details]
    for workflow in sorted({child.rpartition("-")[0] for child in children}):
        for around in _places(workflow, names, fold):
            for attempt in reversed(range(_MOST_ATTEMPTS)):
                node = f"{around}.{task}(0).executor({attempt})"
                if f"{workflow}-{_hashed(node)}" in children:
                    yield from (pod_name(workflow, template, node) for template in _TEMPLATES)


def _places(workflow: str, names: Sequence[str], fold: int | None) -> Iterator[str]:
    root = f"{workflow}(0).root(0)"
    yield root
    loops = sorted({name for name in names if name.startswith("for-loop-") and not name.endswith(")")})
    found = [name for name in names if name.startswith("iteration-iterations(") and name.count("(") == 1]
    for loop in loops:
        for item in sorted(found):
            if fold is None or item.startswith(f"iteration-iterations({fold}:"):
                yield f"{root}.{loop}(0).{item}(0).iteration-item(0)"


def _hashed(text: str) -> int:
    """32 bits of FNV-1a."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value
