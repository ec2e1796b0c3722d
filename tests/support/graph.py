"""A whole pipeline as a cluster runs it, without one: each task by its compiled command, with input as recorded."""

import json
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from kfp.dsl.graph_component import GraphComponent
from launcher import Launcher, Ran

BUCKET = "mlpipeline"
SESSION = json.dumps({"Provider": "s3"})


def run_graph(launcher: Launcher, graph: GraphComponent, parameters: Mapping[str, Any]) -> dict[str, list[Ran]]:
    """Run a pipeline of plain tasks, one after the other, until one has failed for good.

    Returns:
        kfp's name of each task that came to its turn -> its attempts.
    """
    spec: Any = json_format.MessageToDict(graph.pipeline_spec)
    waiting: dict[str, Any] = dict(spec["root"]["dag"]["tasks"])
    ran: dict[str, list[Ran]] = {}
    while waiting:
        name = next(name for name, task in waiting.items() if set(task.get("dependentTasks", ())) <= set(ran))
        task = waiting.pop(name)
        component = spec["components"][task["componentRef"]["name"]]
        executor = spec["deploymentSpec"]["executors"][component["executorLabel"]]
        given = _executor_input(launcher, graph.name, name, task, component, ran, parameters)
        attempts = 1 + int(task.get("retryPolicy", {}).get("maxRetryCount", 0))
        for _ in range(attempts):
            ran[name] = [*ran.get(name, []), launcher.run_container(executor["container"], given)]
            if ran[name][-1].code == 0:
                break
        else:
            return ran
    return ran


def _executor_input(
    launcher: Launcher,
    pipeline: str,
    name: str,
    task: Mapping[str, Any],
    component: Mapping[str, Any],
    ran: Mapping[str, list[Ran]],
    parameters: Mapping[str, Any],
) -> dict[str, Any]:
    declared = component.get("inputDefinitions", {}).get("parameters", {})
    root = f"s3://{BUCKET}/root/{pipeline}/run/{name}/id"
    values: dict[str, Any] = {}
    for parameter, origin in task.get("inputs", {}).get("parameters", {}).items():
        if "runtimeValue" in origin:
            value = origin["runtimeValue"]["constant"]
            values[parameter] = int(value) if declared[parameter]["parameterType"] == "NUMBER_INTEGER" else value
        elif "componentInputParameter" in origin:
            values[parameter] = parameters[origin["componentInputParameter"]]
        else:
            producer = origin["taskOutputParameter"]
            written = ran[producer["producerTask"]][-1].output["parameterValues"]
            values[parameter] = written[producer["outputParameterKey"]]
    artifacts = {
        artifact: _artifact(launcher, origin["taskOutputArtifact"])
        for artifact, origin in task.get("inputs", {}).get("artifacts", {}).items()
    }
    outputs = component.get("outputDefinitions", {})
    return {
        "inputs": {"parameterValues": values, "artifacts": artifacts},
        "outputs": {
            "parameters": {key: {"outputFile": f"/tmp/kfp/outputs/{key}"} for key in outputs.get("parameters", {})},
            "artifacts": {
                key: {"artifacts": [{"name": key, "type": output["artifactType"], "uri": f"{root}/{key}"}]}
                for key, output in outputs.get("artifacts", {}).items()
            },
            "outputFile": f"/s3/{root.removeprefix('s3://')}/output_metadata.json",
        },
    }


def _artifact(launcher: Launcher, origin: Mapping[str, str]) -> dict[str, Any]:
    written = launcher.written[origin["producerTask"], origin["outputArtifactKey"]]
    described = {
        "name": "7",
        "type": {"instanceSchema": ""},
        "uri": written["uri"],
        "metadata": {**written["metadata"], "store_session_info": SESSION},
    }
    return {"artifacts": [described]}
