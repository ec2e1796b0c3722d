"""`lesionflow step`: one component alone.

kfp.local refuses a component with input artifacts outside a pipeline, so this wraps it in a
pipeline of one task whose inputs are imported.
"""

import json
import time
from collections.abc import Sequence
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from kfp import dsl
from kfp.dsl.base_component import BaseComponent
from kfp.dsl.graph_component import GraphComponent
from rich.console import Console

from lesionflow import storage
from lesionflow.errors import UserError
from lesionflow.local.outcome import outcome_of, show_outcome
from lesionflow.local.processes import ProcessBackend
from lesionflow.local.runner import Interrupted, LocalRun, run_pipeline
from lesionflow.local.workspace import Workspace
from lesionflow.pipelines.training import TASKS
from lesionflow.runtime.run_display import RunDisplay

STEPS = tuple(dict.fromkeys(name.split("-")[0] for name in TASKS))


def run_one(
    step: str, artifacts: Sequence[str], values: Sequence[str], output: Path | None, console: Console, verbose: bool
) -> int:
    """Run one component on existing artifacts.

    Args:
        step: which component.
        artifacts: NAME=URI of each input artifact, local or gs://.
        values: NAME=VALUE of each parameter.
        output: folder that receives the outputs, by name.
        console: where it is shown.
        verbose: whether the task's raw output is shown.

    Returns:
        The exit code, as of `lesionflow run`.

    Raises:
        UserError: no such component, input or parameter, or one is missing or of the wrong type.
    """
    component = load_component(step)
    parameters = _parameters(component, step, dict(_pairs(values, "--set")))
    imported = _artifacts(component, step, dict(_pairs(artifacts, "--input")))
    stem = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    workspace = Workspace((output or Path("lesionflow-runs", "steps", f"{step}-{stem}")).absolute())
    shown = f"finetune-{parameters['phase']}" if step == "finetune" else step
    with workspace.locked() as lock:
        folder = workspace.new_run()
        local = {
            name: str(storage.download(uri, folder / "inputs" / name).absolute()) for name, uri in imported.items()
        }
        what = LocalRun(_pipeline_of(component, local, parameters), {}, {step: shown}, cached=False)
        before = time.time()
        with RunDisplay(console, [shown], verbose) as display:
            try:
                events = run_pipeline(what, workspace, folder, lock, display.watch, ProcessBackend())
            except Interrupted as interrupt:
                console.print(str(interrupt))
                return 128 + interrupt.signal
        outcome = outcome_of(events, folder)
        _show_outputs(workspace, before, console)
    show_outcome(outcome, console, folder)
    if outcome.status == "refused":
        console.print(f"[bold red]Refused:[/] {outcome.error}", highlight=False, soft_wrap=True)
    return outcome.code


def _show_outputs(workspace: Workspace, since: float, console: Console) -> None:
    """Show where the outputs lie that the task just wrote, by name."""
    for name, path in _outputs(workspace.store, since).items():
        link = workspace.root / name
        link.unlink(missing_ok=True)
        link.symlink_to(path.relative_to(workspace.root))
        console.print(f"{name + ':':<16} {link}", highlight=False, soft_wrap=True)


def load_component(step: str) -> BaseComponent:
    """The adapter of a step.

    Raises:
        UserError: there is no such step.
    """
    if step not in STEPS:
        raise UserError(f"There is no step {step!r}; expected one of {', '.join(STEPS)}.")
    return getattr(import_module(f"lesionflow.components.{step}.component"), step)


def _pairs(options: Sequence[str], flag: str) -> list[tuple[str, str]]:
    pairs = [option.partition("=") for option in options]
    for name, equals, _ in pairs:
        if not equals:
            raise UserError(f"{flag} {name!r} is not of the form NAME=VALUE.")
    return [(name, value) for name, _, value in pairs]


def _parameters(component: BaseComponent, step: str, given: dict[str, str]) -> dict[str, Any]:
    """The component's parameters, each of its declared type."""
    specs = {name: spec for name, spec in (component.component_spec.inputs or {}).items() if "." not in str(spec.type)}
    _check_names(given, list(specs), [name for name, spec in specs.items() if not spec.optional], step, "--set")
    return {name: _typed(name, value, str(specs[name].type)) for name, value in given.items()}


def _artifacts(component: BaseComponent, step: str, given: dict[str, str]) -> dict[str, str]:
    # Only an artifact's type has a dot, as in system.Dataset@0.0.1.
    specs = {name: spec for name, spec in (component.component_spec.inputs or {}).items() if "." in str(spec.type)}
    _check_names(given, list(specs), [name for name, spec in specs.items() if not spec.optional], step, "--input")
    for name, uri in given.items():
        if not storage.exists(uri):
            raise UserError(f"--input {name}: there is nothing at {uri}.")
    return given


def _check_names(given: dict[str, str], known: list[str], needed: list[str], step: str, flag: str) -> None:
    expected = ", ".join(known) or "none"
    for name in given:
        if name not in known:
            raise UserError(f"The step {step} has no {flag} {name!r}; it takes {expected}.")
    for name in needed:
        if name not in given:
            raise UserError(f"The step {step} needs {flag} {name}=...; it takes {expected}.")


def _typed(name: str, value: str, kind: str) -> Any:
    """Read a parameter's text as its declared type: text as it stands, anything else as JSON."""
    if kind == "String":
        return value
    expected = {"Integer": int, "Float": (int, float), "Boolean": bool}[kind]
    try:
        parsed = json.loads(value.lower() if kind == "Boolean" else value)
    except json.JSONDecodeError:
        parsed = None
    if not isinstance(parsed, expected) or (kind != "Boolean" and isinstance(parsed, bool)):
        raise UserError(f"--set {name}: expected {kind.lower()}, received {value!r}.")
    return parsed


def _pipeline_of(component: BaseComponent, artifacts: dict[str, str], parameters: dict[str, Any]) -> GraphComponent:
    specs = component.component_spec.inputs or {}

    def one_step():
        imported: dict[str, Any] = {}
        for name, path in artifacts.items():
            # system.Dataset@0.0.1 is dsl.Dataset, and so with all types of kfp's own.
            kind = getattr(dsl, str(specs[name].type).split("@")[0].removeprefix("system."))
            importer = dsl.importer(artifact_uri=path, artifact_class=kind, reimport=False)
            imported[name] = importer.output
        component(**imported, **parameters)

    return cast(GraphComponent, dsl.pipeline(name=f"step-{component.name}")(one_step))


def _outputs(store: Path, since: float) -> dict[str, Path]:
    """Artifacts that the task just wrote, by name; none if it failed before it had a folder for them."""
    written = [path for path in store.glob("step-*") if path.stat().st_mtime >= since - 1]
    if not written:
        return {}
    newest = max(written, key=lambda path: path.name)
    return {
        path.name: path
        for path in sorted(newest.glob("*/*"))
        if path.name != "executor_output.json" and not path.name.startswith(".")
    }
