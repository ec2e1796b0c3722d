"""A stand-in server (no Kubeflow: see `kfp_api.server`) that holds a pipeline of two versions."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from kfp_api.server import KfpApiServer

PACKAGE = """
pipelineInfo: {name: lesionflow-training}
schemaVersion: 2.1.0
deploymentSpec: {executors: {exec: {container: {image: example.com/image}}}}
components: {comp: {executorLabel: exec}}
root:
  dag: {tasks: {step: {componentRef: {name: comp}, taskInfo: {name: step}}}}
  inputDefinitions:
    parameters:
      source: {parameterType: STRING}
      seed: {parameterType: NUMBER_INTEGER, defaultValue: 0, isOptional: true}
      registry: {parameterType: STRING, isOptional: true}
      recipe: {parameterType: STRING, isOptional: true}
      checkpoints: {parameterType: STRING, isOptional: true}
      weights: {parameterType: STRING, isOptional: true}
      policy: {parameterType: STRING, isOptional: true}
"""


@pytest.fixture(scope="module")
def _server() -> Generator[KfpApiServer]:
    with KfpApiServer() as server:
        yield server


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled pipeline."""
    file = tmp_path_factory.mktemp("package") / "pipeline.yaml"
    file.write_text(PACKAGE)
    return file


@pytest.fixture(scope="module")
def client(_server: KfpApiServer, package: Path) -> Generator[Any]:
    from lesionflow.kubeflow.client import transport
    from lesionflow.kubeflow.client.connection import ClusterSettings, connect

    patch = pytest.MonkeyPatch()
    patch.setattr(transport, "PAUSES", (0.0, 0.0, 0.0))
    connected: Any = connect(ClusterSettings(endpoint=_server.url))
    uploads = connected.pipeline_uploads
    first = uploads.upload_pipeline(str(package), name="training")
    uploads.upload_pipeline_version(str(package), name="v2", pipelineid=first.pipeline_id)
    yield connected
    patch.undo()


@pytest.fixture
def api(_server: KfpApiServer, client: Any) -> KfpApiServer:
    """The server, with no schedule on it yet."""
    _server.clear()
    return _server


@pytest.fixture
def schedule_file(tmp_path: Path) -> Any:
    """Write a schedule's file: a function of what differs from a weekly one."""

    def write(**changes: str) -> Path:
        fields = {
            "name": "weekly",
            "pipeline": "training",
            "cron": "0 0 3 * * 1",
            "parameters": "{source: gs://example/data}",
        }
        fields |= changes
        file = tmp_path / "schedule.yaml"
        file.write_text("".join(f"{name}: {value}\n" for name, value in fields.items() if value))
        return file

    return write
