"""A step as its pod runs it: the compiled command, on executor input as a real KFP gave it.

What KFP's launcher does around a step is done here on files: its inputs lie where it looks for them, and what it
wrote is handed on as the recordings show it, without types and with metadata as KFP's store keeps them.
"""

import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from google.protobuf import json_format
from kfp.dsl.base_component import BaseComponent

SITE = Path(__file__).parent / "site"


@dataclass(frozen=True)
class Ran:
    """How a step ended.

    Attributes:
        code: its exit code.
        log: what it said.
        output: what its executor wrote for the launcher; empty if it failed.
        paths: output artifact -> where it should lie now.
    """

    code: int
    log: str
    output: dict[str, Any]
    paths: dict[str, Path]


@dataclass
class Launcher:
    """Runs steps one after the other; each finds what the ones before it wrote.

    Attributes:
        root: folder that stands for the pod's root folder.
        environment: what the pods of a cluster get beside the step's own.
        written: task and output -> the artifact as the next steps' executor input describes it.
    """

    root: Path
    environment: Mapping[str, str]
    written: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def path(self, uri: str) -> Path:
        """Where a step finds what is at s3://BUCKET/KEY."""
        return self.root / "s3" / uri.removeprefix("s3://")

    def run(self, component: BaseComponent, given: Mapping[str, Any]) -> Ran:
        """Run one step in a process of its own on `given`, its executor input as recorded."""
        spec: Any = json_format.MessageToDict(component.pipeline_spec)
        return self.run_container(spec["deploymentSpec"]["executors"][f"exec-{component.name}"]["container"], given)

    def run_container(self, container: Mapping[str, Any], given: Mapping[str, Any]) -> Ran:
        """Run a compiled step, which a pipeline may have given an environment."""
        outputs = given["outputs"]
        # Only root may make /s3, and /tmp is everybody's.
        executor_input = re.sub(r'"(?=/(?:s3|tmp)/)', f'"{self.root}', json.dumps(given))
        self.root.mkdir(exist_ok=True)
        done = subprocess.run(
            [part.replace("{{$}}", executor_input) for part in [*container["command"], *container["args"]]],
            cwd=self.root,
            env={
                **os.environ,
                **self.environment,
                "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
                "PYTHONPATH": str(SITE),
                "LAUNCHER_ROOT": str(self.root),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        wrote = self._strict(outputs["outputFile"]) if done.returncode == 0 else {}
        for name, described in wrote.get("artifacts", {}).items():
            self._keep(name, described["artifacts"][0])
        artifacts = {
            name: self.path(described["artifacts"][0]["uri"])
            for name, described in outputs.get("artifacts", {}).items()
            if name != "executor-logs"  # which the launcher writes
        }
        return Ran(done.returncode, done.stdout, wrote, artifacts)

    def successor(self, recorded: Mapping[str, Any]) -> dict[str, Any]:
        """Recorded executor input in which each artifact that a step here wrote takes the recorded one's place.

        Its name and type, or lack of a type, stay as recorded.
        """
        given = cast(dict[str, Any], copy.deepcopy(recorded))
        for described in given["inputs"].get("artifacts", {}).values():
            for artifact in described["artifacts"]:
                artifact.update(self.artifact(artifact))
        return given

    def artifact(self, recorded: Mapping[str, Any]) -> dict[str, Any]:
        """The artifact of the same task and output as the recorded one, as the next step's executor input has it."""
        now = self.written[_origin(recorded["uri"])]
        session = recorded["metadata"]["store_session_info"]
        return {**recorded, "uri": now["uri"], "metadata": {**now["metadata"], "store_session_info": session}}

    def _strict(self, written: str) -> dict[str, Any]:
        """What the executor wrote; the launcher refuses NaN and Infinity."""

        def refuse(constant: str) -> None:
            raise AssertionError(f"the executor's output holds {constant}, which is not JSON")

        return json.loads((self.root / written.lstrip("/")).read_text(), parse_constant=refuse)

    def _keep(self, name: str, artifact: Mapping[str, Any]) -> None:
        metadata = {key: _stored(value) for key, value in artifact["metadata"].items()}
        self.written[_origin(artifact["uri"])] = {
            "uri": artifact["uri"],
            "metadata": {**metadata, "display_name": name},
        }


def _origin(uri: str) -> tuple[str, str]:
    """Task and output of .../PIPELINE/RUN/TASK/ID/OUTPUT, which is how KFP lays out a run's artifacts."""
    *_, task, _, output = uri.split("/")
    return task, output


def _stored(value: Any) -> Any:
    """A metadata value as KFP's store gives it to the next step: see "searched", "counts" and "reasons" there."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, dict):
        return {"struct": value}
    return {"list": value} if isinstance(value, list) else value
