"""Every adapter's inputs and outputs are such as kfp's executor can hand over.

On a cluster input artifacts come without a type (see the recordings), so the executor makes them from the adapter's
annotation. What it cannot make an artifact from, such as Optional[Input[Dataset]], is found only there: kfp.local
gives types.
"""

import inspect
import json
import typing
from pathlib import Path
from typing import Any, Optional, cast

import pandera.typing.common
import pytest
from every_adapter import ADAPTERS, adapter
from kfp import dsl
from kfp.dsl.base_component import BaseComponent
from kfp.dsl.executor import Executor
from kfp.dsl.types.artifact_types import _SCHEMA_TITLE_TO_TYPE  # pyright: ignore[reportPrivateUsage]
from recordings import recorded

VALUES: dict[str, Any] = {"String": "text", "Integer": 3, "Float": 0.25, "Boolean": False}
TYPES: list[dict[str, Any]] = [{}, {"type": {"instanceSchema": ""}}]
"""What the executor input says of an input artifact's type: the two ways that were recorded."""


def _schema(spec: Any) -> str:
    """Such as system.Dataset, of an artifact; empty for a parameter."""
    title, at, _ = str(spec.type).partition("@")
    return title if at else ""


def _handed_over(component: BaseComponent, folder: Path, only_required: bool, kind: dict[str, Any]) -> dict[str, Any]:
    """The arguments with which kfp's executor calls the adapter's function."""
    inputs = {
        name: spec
        for name, spec in (component.component_spec.inputs or {}).items()
        if not (only_required and spec.optional)
    }
    example = {"name": "59", **kind, "metadata": {"rows": 1, "counts": {"struct": {"nv": 2}}}}
    artifacts: dict[str, Any] = {}
    for name, spec in inputs.items():
        if _schema(spec):
            uris = [f"s3://bucket/{name}/{index}" for index in range(2 if spec.is_artifact_list else 1)]
            artifacts[name] = {"artifacts": [{**example, "uri": uri} for uri in uris]}
    given: dict[str, Any] = {
        "inputs": {
            "artifacts": artifacts,
            "parameterValues": {n: VALUES[str(s.type)] for n, s in inputs.items() if n not in artifacts},
        },
        "outputs": {"artifacts": {}, "parameters": {}, "outputFile": str(folder / "output_metadata.json")},
    }
    for name, spec in (component.component_spec.outputs or {}).items():
        if _schema(spec):
            described = {"name": name, "type": {"schemaTitle": _schema(spec)}, "uri": str(folder / name)}
            given["outputs"]["artifacts"][name] = {"artifacts": [described]}
        else:
            given["outputs"]["parameters"][name] = {"outputFile": str(folder / name)}
    calls: list[dict[str, Any]] = []

    def called(**arguments: Any) -> None:
        calls.append(arguments)

    function: Any = component.python_func  # pyright: ignore[reportAttributeAccessIssue]
    called.__annotations__ = function.__annotations__
    vars(called)["__signature__"] = inspect.signature(function)
    Executor(json.loads(json.dumps(given)), called).execute()
    return calls[0]


def _check(component: BaseComponent, folder: Path, only_required: bool, kind: dict[str, Any]) -> None:
    arguments: Any = _handed_over(component, folder, only_required, kind)
    for name, spec in (component.component_spec.inputs or {}).items():
        value: Any = arguments.get(name)
        if only_required and spec.optional:
            assert value is None, f"{component.name}: {name} was left out and arrives as {value!r}"
        elif _schema(spec):
            values: Any = value if spec.is_artifact_list else [value]
            wanted = _SCHEMA_TITLE_TO_TYPE[_schema(spec)]
            assert {type(artifact) for artifact in values} == {wanted}, f"{component.name}: {name} is {value!r}"
            paths = [f"/s3/bucket/{name}/{index}" for index in range(2 if spec.is_artifact_list else 1)]
            assert [artifact.path for artifact in values] == paths
        else:
            assert (value, type(value)) == (VALUES[str(spec.type)], type(VALUES[str(spec.type)])), name
    for name, spec in (component.component_spec.outputs or {}).items():
        if name != "Output":  # returned, so not handed over
            path = arguments[name].path if _schema(spec) else arguments[name]
            assert path == str(folder / name)


@pytest.mark.parametrize("kind", TYPES, ids=["without-type", "empty-type"])
@pytest.mark.parametrize("only_required", [False, True], ids=["all-inputs", "required-inputs"])
@pytest.mark.parametrize("name", ADAPTERS)
def test_the_executor_hands_every_adapter_what_it_declares(
    name: str, only_required: bool, kind: dict[str, Any], tmp_path: Path
):
    _check(adapter(name), tmp_path, only_required, kind)


def test_this_would_refuse_an_annotation_that_no_cluster_can_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # A pod's executor calls it before anything imports pandera, which puts a call of its own in its place.
    monkeypatch.setattr(typing._GenericAlias, "__call__", vars(pandera.typing.common)["__orig_generic_alias_call"])

    @dsl.component(base_image="python:3.11")
    def hopeless(table: Optional[dsl.Input[dsl.Dataset]] = None):  # noqa: UP045
        print(table)

    component = cast(BaseComponent, hopeless)
    _check(component, tmp_path, True, TYPES[0])
    with pytest.raises(TypeError, match="Cannot instantiate"):
        _check(component, tmp_path, False, TYPES[0])


def test_the_ways_to_describe_a_type_are_those_that_were_recorded():
    files = sorted((Path(__file__).parents[2] / "support/recordings/kfp-2.17/executor-input").iterdir())
    seen: list[dict[str, Any]] = []
    for file in files:
        for described in recorded(f"executor-input/{file.name}")["inputs"].get("artifacts", {}).values():
            seen += [{key: artifact[key] for key in artifact if key == "type"} for artifact in described["artifacts"]]
    assert all(kind in TYPES for kind in seen)
    assert all(kind in seen for kind in TYPES)
