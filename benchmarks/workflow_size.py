"""How much of a run's Workflow each step takes: as a real one was recorded, and as it is compiled now.

    .venv/bin/python benchmarks/workflow_size.py [--folds 5]

Past 1 MB Argo compresses a Workflow, and Kubeflow Pipelines' API no longer follows the run. The structure is that of
the recorded Workflows in tests/support/recordings: which node has what, what KFP's launcher and Argo add,
artifacts and their metadata. What we decide of it is put in anew: the components' specifications, the
adapters' source, and the texts of recipe and policy.
"""

import argparse
import base64
import gzip
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from lesionflow.kubeflow.compile import compile_pipeline
from lesionflow.kubeflow.short_text import short_policy, short_recipe
from lesionflow.pipelines.cross_validation import AFTER, BEFORE, EACH_FOLD
from lesionflow.pipelines.training import TASKS
from lesionflow.policy import load_policy
from lesionflow.profile import load_profile
from lesionflow.recipe import load_recipe

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from recordings import in_present_words, recorded

LIMIT = 1 << 20
"""Bytes of a Workflow from which Argo compresses it."""


@dataclass(frozen=True)
class Spec:
    """What the compiled pipeline says of the steps."""

    components: Mapping[str, Any]
    executors: Mapping[str, Any]

    @classmethod
    def compiled(cls, folds: int | None) -> "Spec":
        """Of the pipeline as it is now."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "pipeline.yaml")
            compile_pipeline(file, load_profile("generic"), {}, kubernetes_manifest=False, folds=folds)
            document = next(yaml.safe_load_all(file.read_text(encoding="utf-8")))
        return cls(document["components"], document["deploymentSpec"]["executors"])


def recorded_nodes(name: str) -> list[dict[str, Any]]:
    """Argo's nodes of a recorded Workflow."""
    status = recorded(f"kubernetes/{name}.json.gz")["status"]
    nodes = json.loads(gzip.decompress(base64.b64decode(status["compressedNodes"])))
    return in_present_words(list(nodes.values()))


def nodes_of_step(nodes: list[dict[str, Any]], task: str) -> list[dict[str, Any]]:
    """All nodes of the first task of this name that was executed: driver, task, executor, and their attempts."""
    end = f".{task}(0).executor(0)"
    around = next((node["name"].removesuffix(end) for node in nodes if node["name"].endswith(end)), None)
    if around is None:
        return []
    own = (f"{around}.{task}", f"{around}.{task}-driver")
    second = f".{task}(0).executor(1)"
    return [node for node in nodes if _belongs(node["name"], own) and not node["name"].endswith(second)]


def _belongs(name: str, own: tuple[str, str]) -> bool:
    return any(name == prefix or name.startswith((f"{prefix}(", f"{prefix}.")) for prefix in own)


def as_now(node: dict[str, Any], task: str, spec: Spec) -> dict[str, Any]:
    """A recorded node with our part of it as it is compiled now."""
    changed: dict[str, Any] = json.loads(json.dumps(node))
    component = cast(
        dict[str, Any], spec.components.get(f"comp-{task}") or spec.components[f"comp-{task.split('-')[0]}"]
    )
    container = spec.executors[component["executorLabel"]]["container"]
    for side in ("inputs", "outputs"):
        for parameter in changed.get(side, {}).get("parameters", []):
            match parameter["name"]:
                case "pod-spec-patch" if parameter.get("value"):
                    parameter["value"] = _patched(parameter["value"], component, container)
                case "component" if parameter.get("value"):
                    parameter["value"] = _compact(component)
                case "container" if parameter.get("value"):
                    old = json.loads(parameter["value"])
                    parameter["value"] = _compact({**old, "command": container["command"], "args": container["args"]})
                case _:
                    pass
    return changed


def _patched(text: str, component: Any, container: Any) -> str:
    patch = json.loads(text)
    main = patch["containers"][0]
    command: list[str] = main["command"]
    command[command.index("--component_spec") + 1] = _compact(component)
    at = command.index("--executor_input") + 1
    given = json.loads(command[at])
    values = given["inputs"].get("parameterValues", {})
    if "recipe" in values:
        values["recipe"] = short_recipe(load_recipe(values["recipe"]))
    if "policy" in values:
        values["policy"] = short_policy(load_policy(values["policy"]))
    command[at] = _compact(given)
    main["args"] = [*container["command"], *container["args"]]
    return _compact(patch)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def specification(spec: Spec, now: bool) -> int:
    """Bytes of the Workflow's own specification, which counts too: as recorded, or with our part as it is now."""
    workflow = recorded("kubernetes/workflow-succeeded-compressed.json.gz")
    if now:
        texts = {"components": spec.components, "implementations": spec.executors}
        for parameter in workflow["spec"]["arguments"]["parameters"]:
            kind = parameter["name"].split("-")[0]
            old = json.loads(parameter["value"])
            label = old.get("executorLabel") or f"exec-{(old.get('args') or [''])[-1]}"
            if kind == "components" and parameter["name"] != "components-root":
                new = next(c for c in texts[kind].values() if c.get("executorLabel") == label)
                parameter["value"] = _compact(new)
            elif kind == "implementations":
                container = texts[kind][label]["container"]
                parameter["value"] = _compact({**old, "command": container["command"], "args": container["args"]})
    return len(_compact(workflow["spec"]).encode())


def size(nodes: list[dict[str, Any]]) -> int:
    """Bytes that nodes take in the Workflow."""
    return sum(len(_compact(node).encode()) + len(node["id"]) + 4 for node in nodes)


@dataclass(frozen=True)
class Sizes:
    """Bytes per task, and of the specification, as recorded and as compiled now."""

    recorded: Mapping[str, int]
    now: Mapping[str, int]
    specification: tuple[int, int]

    @classmethod
    def measured(cls) -> "Sizes":
        """Of the training pipeline; a task that the first recording reused is taken from the second.

        What was not there yet, as the preflight, takes nothing as recorded, and now as much around it as fingerprint.
        """
        sources = [recorded_nodes("workflow-succeeded-compressed"), recorded_nodes("workflow-folds-compressed")]
        spec = Spec.compiled(None)
        recorded: dict[str, int] = {}
        now: dict[str, int] = {}
        for task in TASKS:
            nodes = next((found for source in sources if (found := nodes_of_step(source, task))), [])
            around = nodes or next(found for source in sources if (found := nodes_of_step(source, "fingerprint")))
            recorded[task], now[task] = size(nodes), size([as_now(node, task, spec) for node in around])
        return cls(recorded, now, (specification(spec, now=False), specification(spec, now=True)))

    def of(self, tasks: Sequence[str]) -> tuple[int, int]:
        """Of a run that executes these tasks: as recorded, and now."""
        before, after = self.specification
        return before + sum(self.recorded[task] for task in tasks), after + sum(self.now[task] for task in tasks)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=int, default=5)
    folds = parser.parse_args().folds
    sizes = Sizes.measured()
    print("| step | recorded | now | ratio |\n|---|---:|---:|---:|")
    for task, step in TASKS.items():
        _row(step, sizes.recorded[task], sizes.now[task])
    _row("the Workflow's specification", *sizes.specification)
    _row("a training, every step executed", *sizes.of(list(TASKS)))
    after = ["evaluate" if task == "pool" else task for task in AFTER]
    _row(f"{folds} folds (pool taken as evaluate)", *sizes.of([*BEFORE, *list(EACH_FOLD) * folds, *after]))


def _row(label: str, recorded: int, now: int) -> None:
    print(f"| {label} | {recorded:,} | {now:,} | {now / recorded:.2f} |")


if __name__ == "__main__":
    main()
