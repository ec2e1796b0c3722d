"""What a compiled pipeline says, all of it, in a form that a person can review.

Left out is only what is checked elsewhere: the adapters' source (it would make every comment a difference) and the
declarations of their inputs and outputs, which are the tables of `components/<step>/README.md`.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

CHANNEL = "pipelinechannel--"


def graph(spec: Mapping[str, Any]) -> str:
    """The parameters of a pipeline and the wires between its tasks, loops indented, producers before consumers."""
    declared = spec["root"]["inputDefinitions"]["parameters"]
    lines = [f"{spec['pipelineInfo']['name']}: {spec['pipelineInfo']['description']}", "", "parameters:"]
    lines += [f"    {name}: {_declaration(parameter)}" for name, parameter in declared.items()]
    return "\n".join([*lines, "", *_dag(spec, spec["root"]["dag"], indent="")]) + "\n"


def pods(spec: Mapping[str, Any], platform: Mapping[str, Any]) -> str:
    """What a pipeline asks of a cluster, as YAML: the run, then the pods, those alike together."""
    groups: dict[str, list[str]] = {}
    retries = dict(_retries(spec))
    for name, executor in spec["deploymentSpec"]["executors"].items():
        container = dict(executor["container"])
        step = container.pop("args")[-1]
        task = name.removeprefix("exec-")
        assert executor["container"]["args"] == ["--executor_input", "{{$}}", "--function_to_execute", step]
        assert task == step or task.startswith(f"{step}-")
        del container["command"]
        container["env"] = {variable["name"]: variable["value"] for variable in container["env"]}
        asked = {
            "container": container,
            "pod": platform["deploymentSpec"]["executors"][name],
            **({"retry": retries[task]} if retries.get(task) else {}),
        }
        groups.setdefault(json.dumps(asked, sort_keys=True), []).append(task)
    assert platform["deploymentSpec"]["executors"].keys() == spec["deploymentSpec"]["executors"].keys()
    described = [{"tasks": " ".join(tasks), **json.loads(asked)} for asked, tasks in groups.items()]
    said = {"run": dict(platform["pipelineConfig"]), "pods": described}
    return yaml.dump(said, sort_keys=False, width=120)


def _declaration(parameter: Mapping[str, Any]) -> str:
    assert parameter.keys() <= {"parameterType", "defaultValue", "isOptional", "description"}
    default = f" = {json.dumps(parameter['defaultValue'])}" if parameter.get("isOptional") else ""
    return f"{parameter['parameterType']}{default}; {' '.join(parameter['description'].split())}"


def _dag(spec: Mapping[str, Any], dag: Mapping[str, Any], indent: str) -> Iterator[str]:
    assert dag.keys() <= {"tasks", "outputs"}
    for name in _in_order(dag["tasks"]):
        task = dict(dag["tasks"][name])
        called = task.pop("taskInfo")["name"]
        component = spec["components"][task.pop("componentRef")["name"]]
        cached = "cached" if task.pop("cachingOptions", {}).get("enableCache") else "never cached"
        loop = "dag" in component
        iterated = task.pop("parameterIterator", None)
        at_a_time = task.pop("iteratorPolicy", {}).get("parallelismLimit", "all")
        said = f"for each of {iterated['items']['raw']}, {at_a_time} at a time" if iterated else cached
        yield f"{indent}{name}{'' if called == name else f' ({called})'}: {said}"
        wires = task.pop("inputs", {})
        producers = {
            wire[kind]["producerTask"]
            for inputs in wires.values()
            for wire in inputs.values()
            for kind in ("taskOutputArtifact", "taskOutputParameter")
            if kind in wire
        }
        after = set(task.pop("dependentTasks", ())) - producers
        if after:
            yield f"{indent}    after {', '.join(sorted(after))}"
        if not loop:  # a loop's inputs are those of its tasks
            yield from (f"{indent}    {key} <- {_wire(wire)}" for part in wires.values() for key, wire in part.items())
        task.pop("retryPolicy", None)  # belongs to the profile
        assert not task, f"{name} has more than is shown: {task}"
        if loop:
            yield from _dag(spec, component["dag"], f"{indent}    ")


def _wire(wire: Mapping[str, Any]) -> str:
    ((kind, origin),) = wire.items()
    if kind == "componentInputParameter":
        return origin.removeprefix(CHANNEL)
    if kind == "componentInputArtifact":
        return origin.removeprefix(CHANNEL).replace("-", ".", 1)
    if kind == "runtimeValue":
        return json.dumps(origin["constant"])
    key = origin["outputArtifactKey" if kind == "taskOutputArtifact" else "outputParameterKey"]
    return f"{origin['producerTask']}.{key.removeprefix(CHANNEL)}"


def _in_order(tasks: Mapping[str, Any]) -> Iterator[str]:
    waiting = dict(tasks)
    while waiting:
        name = next(name for name, task in waiting.items() if not waiting.keys() & set(task.get("dependentTasks", ())))
        del waiting[name]
        yield name


def _retries(spec: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    inner = (component["dag"] for component in spec["components"].values() if "dag" in component)
    for dag in (spec["root"]["dag"], *inner):
        for name, task in dag["tasks"].items():
            yield name, task.get("retryPolicy")
