"""Tasks as containers of this machine's Docker: kfp.local's DockerRunner.

Each container runs as a user that is not root, without capabilities and on a read-only root file
system; it may write to the workspace, to what `writable` names, and to its own /tmp and HOME.
"""

import json
import os
import shutil
import stat
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import docker
from docker import errors, types
from docker.models.containers import Container
from kfp import local
from kfp.dsl.graph_component import GraphComponent

from lesionflow.compat.kfp_local import containers_run_by
from lesionflow.compat.process import files_open_to_group
from lesionflow.errors import UserError
from lesionflow.local.backend import SAVING, LocalRunner, RunPlace
from lesionflow.pipelines.images import with_images
from lesionflow.runtime.container_image import CPU_IMAGE, GPU_IMAGE, LEAN_IMAGE, WEIGHTS_FOLDER
from lesionflow.runtime.container_images import local_image
from lesionflow.runtime.events import BEGUN, RunEvents

LABEL = "lesionflow.workspace"
"""On every container: the workspace that it works in."""

_USER = 10001
"""The image's own user; stands in for root, as whom no task runs."""

_FROM_HOME = {
    "GOOGLE_APPLICATION_CREDENTIALS": "~/.config/gcloud/application_default_credentials.json",
    "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials",
    "AWS_CONFIG_FILE": "~/.aws/config",
}
"""Variable that names a file with credentials -> where the file is by default."""

_PASSED_ON = ("AWS_", "GOOGLE_CLOUD_PROJECT", "STORAGE_EMULATOR_HOST", "LESIONFLOW_PIXEL_MEMORY")


class ContainerBackend:
    """Runs each task in a container of the image that a cluster would use.

    Args:
        readable: local files and folders that the tasks read.
        writable: local folders that the tasks write to, besides the workspace.
        gpus: how many GPUs each container gets; -1 for all.
        memory: limit of each container, as Docker writes it ("8g"); None for none.
        shared_memory: size of /dev/shm.
        weights: file that the tasks see in the folder of the image's own starting weights.
    """

    def __init__(
        self,
        readable: Sequence[Path] = (),
        writable: Sequence[Path] = (),
        gpus: int = 0,
        memory: str | None = None,
        shared_memory: str = "2g",
        weights: Path | None = None,
    ) -> None:
        self._readable = readable
        self._writable = writable
        self._gpus = gpus
        self._memory = memory
        self._shared_memory = shared_memory
        self._weights = weights
        self._images = {
            LEAN_IMAGE: local_image("lean"),
            CPU_IMAGE: local_image("cpu"),
            GPU_IMAGE: local_image("gpu" if gpus else "cpu"),
        }
        self._label = ""

    def prepare(self, pipeline: GraphComponent) -> GraphComponent:
        """The pipeline with the images of the present code, whose names hold its digest, as kfp's cache key must."""
        return with_images(pipeline, self._images)

    @contextmanager
    def runner(self, place: RunPlace, events: RunEvents) -> Generator[LocalRunner]:
        """A DockerRunner whose containers are watched to their end.

        Raises:
            UserError: Docker does not answer, is podman in disguise, or lacks the images.
        """
        self._label = f"{LABEL}={place.workspace.root}"
        with docker_client() as client:
            for image in sorted(set(self._images.values())):
                _check_image(client, image)
            self._remove_containers(client)  # of a run that was killed
            settings = self._settings(client, place)
        another_user = os.getuid() == 0  # whose group is 0
        if another_user:
            _open_to_group(place)
        with files_open_to_group(another_user), containers_run_by(_WatchedContainer(events, self._memory)):
            yield local.DockerRunner(**settings)

    def outlive(self, events: RunEvents, at_once: Callable[[], bool] | None) -> None:
        """Remove what is left of this workspace's containers; after an interrupt, what runs in them is told to end."""
        with docker_client() as client:
            pids = [state.pid for state in events.steps.values() if state.pid and state.status in BEGUN]
            if at_once is not None and pids:
                self._tell_to_end(client, pids, at_once)
            self._remove_containers(client)

    def _tell_to_end(self, client: docker.DockerClient, pids: Sequence[int], at_once: Callable[[], bool]) -> None:
        def running() -> list[Container]:
            return client.containers.list(filters={"label": self._label})

        for container in running():
            for pid in pids:  # the first process is kfp's shell, which is deaf to SIGTERM
                with suppress(errors.APIError):  # it has just ended
                    container.exec_run(["sh", "-c", f"kill -TERM {pid}"])
        deadline = time.monotonic() + SAVING
        while running() and time.monotonic() < deadline and not at_once():
            time.sleep(0.1)

    def _remove_containers(self, client: docker.DockerClient) -> None:
        for container in client.containers.list(all=True, filters={"label": self._label}):
            _remove(container)

    def _settings(self, client: docker.DockerClient, place: RunPlace) -> dict[str, Any]:
        """Arguments of Docker's `run`."""
        root = str(place.workspace.root)
        mounts = [types.Mount(root, root, type="bind")]
        environment = dict(place.task_environment)
        if "Docker Desktop" in str(client.info().get("OperatingSystem")):
            del environment["LESIONFLOW_RUN_LOCK"]  # locks do not reach into its virtual machine
        environment |= {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
        secrets: list[Path] = []
        for variable, default in _FROM_HOME.items():
            file = Path(os.environ.get(variable, default)).expanduser()
            if file.is_file():
                if os.getuid() == 0:  # nobody but root may read it, and no task is root
                    file = _copy_for_group(file, place.folder / "tmp" / "credentials")
                environment[variable] = str(file)
                secrets.append(file)
        for path in self._writable:
            path.mkdir(parents=True, exist_ok=True)
        for paths, read_only in ((self._writable, False), ([*self._readable, *secrets], True)):
            for path in paths:
                if not path.is_relative_to(place.workspace.root) and path.exists():
                    mounts.append(types.Mount(str(path), str(path), type="bind", read_only=read_only))
        if self._weights:
            mounts.append(types.Mount(WEIGHTS_FOLDER + self._weights.name, str(self._weights), "bind", read_only=True))
        settings: dict[str, Any] = {
            "environment": environment,
            "mounts": mounts,
            "labels": dict([self._label.split("=", 1)]),
            "user": f"{_USER}:0" if os.getuid() == 0 else f"{os.getuid()}:{os.getgid()}",
            "read_only": True,
            "tmpfs": {"/tmp": "mode=1777", "/home/lesionflow": "mode=1777"},
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "shm_size": self._shared_memory,
        }
        if self._memory:
            settings |= {"mem_limit": self._memory, "memswap_limit": self._memory}
        if self._gpus:
            settings["device_requests"] = [types.DeviceRequest(count=self._gpus, capabilities=[["gpu"]])]
        if not client.networks.list(names=["bridge"]):  # a daemon that was started with --bridge=none
            settings["network_mode"] = "host"
        return settings


class _WatchedContainer:
    """Runs one container to its end.

    It is removed only after it was looked at, and what it should have written is looked for, whatever it says.
    """

    def __init__(self, events: RunEvents, memory: str | None) -> None:
        self._events = events
        self._memory = memory

    def __call__(
        self, client: docker.DockerClient, image: str, command: list[str], volumes: dict[str, Any], **settings: Any
    ) -> int:
        """As of `RunContainer`; returns the exit code."""
        step = self._events.next_step()
        try:
            container = client.containers.run(image, command, detach=True, volumes=volumes, **settings)
        except errors.APIError as error:
            self._events.died(step, f"its container could not be started: {error.explanation}")
            return 125
        try:
            code = int(container.wait()["StatusCode"])
            print(container.logs().decode(errors="replace"))
            container.reload()
            out_of_memory = bool(container.attrs["State"]["OOMKilled"])
        except errors.APIError as error:
            self._events.died(step, f"its container was removed while it ran: {error.explanation}")
            return 125
        _remove(container)  # not after an interrupt, when it may have something to save
        if out_of_memory:
            limit = f"its limit of {self._memory}" if self._memory else "this machine has"
            self._events.died(
                step,
                f"it was killed because it needed more memory than {limit}; "
                "raise --memory, or use a recipe with smaller images or batches",
            )
            return code or 137
        if code:
            self._note_silent_end(step, f"its container ended with exit code {code} and without a word")
        elif missing := _missing_outputs(command):
            code = 1
            self._events.died(step, f"it reported success but did not write {', '.join(missing)}")
        return code

    def _note_silent_end(self, step: str, reason: str) -> None:
        self._events.update()
        if self._events.steps[step].status not in ("failed", "stopped"):
            self._events.died(step, reason)


def _remove(container: Container) -> None:
    try:
        container.remove(force=True)
    except errors.APIError as error:
        if error.status_code not in (404, 409):  # it is gone, or somebody else is removing it
            raise


def _missing_outputs(command: Sequence[str]) -> list[str]:
    """Which of the outputs that a task was told to write are not there."""
    outputs = json.loads(command[command.index("--executor_input") + 1]).get("outputs", {})
    said = Path(outputs["outputFile"])
    values = json.loads(said.read_text()).get("parameterValues", {}) if said.exists() else {}
    missing = [
        name
        for name, place in outputs.get("parameters", {}).items()
        if name not in values and not Path(place["outputFile"]).exists()  # of an OutputPath, in a file of its own
    ]
    for artifacts in outputs.get("artifacts", {}).values():
        missing += [artifact["uri"] for artifact in artifacts["artifacts"] if not Path(artifact["uri"]).exists()]
    return missing


@contextmanager
def docker_client() -> Generator[docker.DockerClient]:
    """A client of the Docker that DOCKER_HOST names, or of this machine's own.

    Raises:
        UserError: it does not answer, or is podman.
    """
    try:
        client = docker.from_env()
        version = client.version()
    except (errors.DockerException, OSError) as error:
        raise UserError(
            f"Docker does not answer ({error}); start it, or name another with DOCKER_HOST, or use --runner subprocess."
        ) from None
    try:
        if any("podman" in str(component.get("Name", "")).lower() for component in version.get("Components", [])):
            raise UserError(
                "DOCKER_HOST leads to podman, which reports failed tasks as successful (kfp#13332); "
                "use Docker, or --runner subprocess."
            )
        yield client
    finally:
        client.close()


def _check_image(client: docker.DockerClient, image: str) -> None:
    try:
        client.images.get(image)
    except errors.ImageNotFound:
        raise UserError(
            f"The image {image} of the present code is not here; build it with 'make images', then run again."
        ) from None


def _copy_for_group(file: Path, folder: Path) -> Path:
    """A copy that group 0 may read and nobody else; it goes with the run's temporary files."""
    folder.mkdir(exist_ok=True, mode=0o750)
    copy = folder / file.name
    shutil.copyfile(file, copy)
    copy.chmod(0o640)
    return copy


def _open_to_group(place: RunPlace) -> None:
    """Let group 0, which the tasks' user is in, write what root may; of the workspace's own, and of nothing else."""
    workspace = place.workspace
    own = [path for path in (workspace.root, workspace.runs, workspace.lock_file) if path.exists()]
    for folder in (workspace.store, workspace.registry, place.folder):
        own += [folder, *folder.rglob("*")] if folder.exists() else []
    for path in own:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(stat.S_IMODE(mode) | (mode & stat.S_IRWXU) >> 3)
