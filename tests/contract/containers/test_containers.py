"""Tasks in real containers: confined, watched, and never taken for a success that they are not."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import docker
import probe
import pytest

from lesionflow.errors import UserError
from lesionflow.local.container_settings import ContainerNeeds
from lesionflow.local.containers import LABEL, ContainerBackend
from lesionflow.local.docker_client import docker_client
from lesionflow.runtime.container_images import content_tag, local_image

# Whichever test comes first builds the images.
pytestmark = [pytest.mark.xdist_group("containers"), pytest.mark.timeout(1200)]


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def _running(engine: docker.DockerClient, output: Path) -> list[str]:
    return [found.name for found in engine.containers.list(filters={"label": f"{LABEL}={output}"})]


@pytest.fixture
def silent_run(docker_engine: docker.DockerClient, tmp_path: Path) -> Generator[tuple[subprocess.Popen[bytes], Path]]:
    """A run, in a process of its own, of one endless task in a container."""
    output = tmp_path / "out"
    output.mkdir()
    heartbeat = output / "heartbeat"
    process = subprocess.Popen([sys.executable, probe.__file__, str(output), str(heartbeat)])
    assert _wait(lambda: heartbeat.exists() and Path(f"{heartbeat}.child").exists(), 60), "the task never started"
    # A task can run for an instant before the daemon lists its container as running.
    assert _wait(lambda: bool(_running(docker_engine, output)), 10), "the daemon lists no container"
    yield process, output
    process.kill()
    process.wait()


def test_a_task_is_not_root_and_cannot_write_to_the_root_file_system(images: None, tmp_path: Path):
    events = probe.run_in_container(probe.look_around_pipeline, tmp_path, "look-around")

    assert events.steps["look-around"].status == "done", events.steps
    found = json.loads(next((tmp_path / "store").glob("look-around*/look-around/found")).read_text())
    assert found["uid"] != 0
    assert found["writable"] == ["/tmp", "/home/lesionflow"]
    assert [int(bits, 16) for bits in found["capabilities"]] == [0]
    assert found["shm"] >= 2 * 2**30


def test_credentials_that_only_their_owner_may_read_reach_the_task_and_are_not_left_behind(
    images: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    secret = tmp_path / "credentials"
    secret.write_text("[default]\naws_access_key_id = only-for-the-task\n")
    secret.chmod(0o600)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(secret))

    probe.run_in_container(probe.look_around_pipeline, tmp_path / "out", "look-around")

    found = json.loads(next((tmp_path / "out" / "store").glob("look-around*/look-around/found")).read_text())
    written = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert found["credentials"]
    assert not [file for file in written if b"only-for-the-task" in file.read_bytes()]


def test_the_published_weights_of_this_machine_are_where_a_task_looks_for_those_in_its_image(
    images: None, tmp_path: Path
):
    weights = tmp_path / "published.h5"
    weights.write_text("published")
    backend = ContainerBackend(ContainerNeeds(weights=weights))

    probe.run_in_container(probe.look_around_pipeline, tmp_path / "out", "look-around", backend)

    found = json.loads(next((tmp_path / "out" / "store").glob("look-around*/look-around/found")).read_text())
    assert found["weights"] == ["published"]


def test_files_beside_the_workspaces_own_keep_their_permissions(images: None, tmp_path: Path):
    private = tmp_path / "private"
    private.write_text("x")
    private.chmod(0o600)

    probe.run_in_container(probe.look_around_pipeline, tmp_path, "look-around")

    assert private.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("target", ["lean", "cpu"])
def test_an_image_holds_no_build_tool_and_nothing_of_the_machine_that_built_it(
    docker_engine: docker.DockerClient, target: str
):
    look = "find /run/secrets /opt/tools /src /etc/pip.conf ~ -type f 2>/dev/null; command -v pip pip3 gcc; true"
    found = docker_engine.containers.run(local_image(target), ["sh", "-c", look], remove=True, network_mode="none")

    labels = docker_engine.images.get(local_image(target)).labels
    assert [line for line in found.decode().split() if "/.bash" not in line and "/.profile" not in line] == []
    assert labels["org.opencontainers.image.version"] == content_tag(target)
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_lean_is_the_base_of_cpu_and_has_no_tensorflow(docker_engine: docker.DockerClient):
    lean, cpu = (docker_engine.images.get(local_image(target)).attrs["RootFS"]["Layers"] for target in ("lean", "cpu"))
    found = docker_engine.containers.run(
        local_image("lean"),
        ["sh", "-c", "ls /opt/lesionflow/lib/python3.11/site-packages"],
        remove=True,
        network_mode="none",
    )

    assert lean[:-1] == cpu[: len(lean) - 1]  # all but our own code, which comes last
    assert "tensorflow" not in found.decode().split()


def test_a_gpu_is_asked_of_docker(docker_engine: docker.DockerClient, tmp_path: Path):
    """There is no GPU here, so the request is seen by dockerd's refusal of it."""
    docker_engine.images.get(local_image("cpu")).tag("lesionflow", content_tag("gpu"))
    try:
        gpu = ContainerBackend(ContainerNeeds(gpus=1))
        events = probe.run_in_container(probe.look_around_pipeline, tmp_path, "look-around", gpu)
    finally:
        docker_engine.images.remove(local_image("gpu"))

    assert events.steps["look-around"].status == "failed"
    assert "gpu" in events.steps["look-around"].message


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_container_outlives_its_run(silent_run, docker_engine: docker.DockerClient, number: int):
    process, output = silent_run

    process.send_signal(number)  # to the run's process alone

    code = process.wait(timeout=30)
    assert code == (-number if number == signal.SIGKILL else 128 + number)
    assert _wait(lambda: not _running(docker_engine, output), 10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_task_in_a_container_may_save_before_its_interrupted_run_ends(
    docker_engine: docker.DockerClient, tmp_path: Path, number: int
):
    output = tmp_path / "out"
    output.mkdir()
    heartbeat = output / "heartbeat"
    process = subprocess.Popen([sys.executable, probe.__file__, str(output), str(heartbeat), "saving"])
    try:
        assert _wait(heartbeat.exists, 60), "the task never started"
        process.send_signal(number)
        assert process.wait(timeout=30) == 128 + number
    finally:
        process.kill()

    assert Path(f"{heartbeat}.saved").exists()
    assert not _running(docker_engine, output)


def test_what_a_killed_run_left_is_removed_by_the_next(silent_run, docker_engine: docker.DockerClient):
    process, output = silent_run
    process.kill()
    process.wait()

    probe.run_in_container(probe.look_around_pipeline, output, "look-around")

    assert not docker_engine.containers.list(all=True, filters={"label": f"{LABEL}={output}"})


def test_a_container_that_vanishes_is_a_failure(silent_run, docker_engine: docker.DockerClient):
    process, output = silent_run

    docker_engine.containers.list(filters={"label": f"{LABEL}={output}"})[0].remove(force=True)

    process.wait(timeout=30)
    log = next(output.glob("runs/*/logs/kfp.log")).read_text()
    assert "FAILURE" in log
    assert "SUCCESS" not in log


def test_a_task_that_reports_success_without_its_outputs_is_a_failure(images: None, tmp_path: Path):
    events = probe.run_in_container(probe.forgetful_pipeline, tmp_path, "forgetful")

    assert events.steps["forgetful"].status == "failed"
    assert "did not write" in events.steps["forgetful"].message


class _PodmanVersion(BaseHTTPRequestHandler):
    """What podman's Docker socket answers to GET /version; the rest of podman is not here."""

    def do_GET(self) -> None:
        body = json.dumps({"Components": [{"Name": "Podman Engine", "Version": "4.3.1"}], "ApiVersion": "1.41"})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_podman_is_refused(monkeypatch: pytest.MonkeyPatch):
    with HTTPServer(("127.0.0.1", 0), _PodmanVersion) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")

        with pytest.raises(UserError, match="podman"), docker_client():
            pass

        server.shutdown()
