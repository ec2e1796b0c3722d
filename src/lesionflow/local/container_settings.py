"""What a task's container is allowed, and what it sees of this machine: arguments of Docker's `run`."""

import os
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker import types

from lesionflow.local.backend import RunPlace
from lesionflow.runtime.container_image import WEIGHTS_FOLDER
from lesionflow.runtime.step import LOCK_VARIABLE

_USER = 10001
"""The image's own user; stands in for root, as whom no task runs."""

_FROM_HOME = {
    "GOOGLE_APPLICATION_CREDENTIALS": "~/.config/gcloud/application_default_credentials.json",
    "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials",
    "AWS_CONFIG_FILE": "~/.aws/config",
}
"""Variable that names a file with credentials -> where the file is by default."""

_PASSED_ON = ("AWS_", "GOOGLE_CLOUD_PROJECT", "STORAGE_EMULATOR_HOST", "LESIONFLOW_PIXEL_MEMORY")


@dataclass(frozen=True)
class ContainerNeeds:
    """What the tasks of a run need of this machine."""

    readable: Sequence[Path] = ()
    """Local files and folders that they read."""
    writable: Sequence[Path] = ()
    """Local folders that they write to, besides the workspace."""
    gpus: int = 0
    """How many GPUs each container gets; -1 for all."""
    memory: str | None = None
    """Limit of each container, as Docker writes it ("8g"); None for none."""
    shared_memory: str = "2g"
    """Size of /dev/shm."""
    weights: Path | None = None
    """File that they see in the folder of the image's own starting weights."""


def container_settings(
    client: docker.DockerClient, place: RunPlace, needs: ContainerNeeds, label: str
) -> dict[str, Any]:
    """Arguments of Docker's `run` for the tasks of one run.

    The user is not root, has no capabilities, and may write to the workspace, to what is writable, and to its own
    /tmp and HOME; the root file system is read-only.

    Args:
        client: of the daemon.
        place: where the run works.
        needs: of its tasks.
        label: `NAME=VALUE`, of every container.
    """
    environment, secrets = _environment(client, place)
    settings: dict[str, Any] = {
        "environment": environment,
        "mounts": _mounts(place, needs, secrets),
        "labels": dict([label.split("=", 1)]),
        "user": f"{_USER}:0" if os.getuid() == 0 else f"{os.getuid()}:{os.getgid()}",
        "read_only": True,
        "tmpfs": {"/tmp": "mode=1777", "/home/lesionflow": "mode=1777"},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "shm_size": needs.shared_memory,
    }
    if needs.memory:
        settings |= {"mem_limit": needs.memory, "memswap_limit": needs.memory}
    if needs.gpus:
        settings["device_requests"] = [types.DeviceRequest(count=needs.gpus, capabilities=[["gpu"]])]
    if not client.networks.list(names=["bridge"]):  # a daemon that was started with --bridge=none
        settings["network_mode"] = "host"
    return settings


def _environment(client: docker.DockerClient, place: RunPlace) -> tuple[dict[str, str], list[Path]]:
    """The tasks' environment, and the files with credentials that it names."""
    environment = dict(place.task_environment)
    if "Docker Desktop" in str(client.info().get("OperatingSystem")):
        del environment[LOCK_VARIABLE]  # locks do not reach into its virtual machine
    environment |= {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    secrets: list[Path] = []
    for variable, default in _FROM_HOME.items():
        file = Path(os.environ.get(variable, default)).expanduser()
        if file.is_file():
            if os.getuid() == 0:  # nobody but root may read it, and no task is root
                file = _copy_for_group(file, place.folder / "tmp" / "credentials")
            environment[variable] = str(file)
            secrets.append(file)
    return environment, secrets


def _mounts(place: RunPlace, needs: ContainerNeeds, secrets: Sequence[Path]) -> list[types.Mount]:
    root = str(place.workspace.root)
    mounts = [types.Mount(root, root, type="bind")]
    for path in needs.writable:
        path.mkdir(parents=True, exist_ok=True)
    for paths, read_only in ((needs.writable, False), ([*needs.readable, *secrets], True)):
        for path in paths:
            if not path.is_relative_to(place.workspace.root) and path.exists():
                mounts.append(types.Mount(str(path), str(path), type="bind", read_only=read_only))
    if weights := needs.weights:
        mounts.append(types.Mount(WEIGHTS_FOLDER + weights.name, str(weights), "bind", read_only=True))
    return mounts


def _copy_for_group(file: Path, folder: Path) -> Path:
    """A copy that group 0 may read and nobody else; it goes with the run's temporary files."""
    folder.mkdir(exist_ok=True, mode=0o750)
    copy = folder / file.name
    shutil.copyfile(file, copy)
    copy.chmod(0o640)
    return copy


def open_to_group(place: RunPlace) -> None:
    """Let group 0, which the tasks' user is in, write what root may; of the workspace's own, and of nothing else."""
    workspace = place.workspace
    own = [path for path in (workspace.root, workspace.runs, workspace.lock_file) if path.exists()]
    for folder in (workspace.store, workspace.registry, place.folder):
        own += [folder, *folder.rglob("*")] if folder.exists() else []
    for path in own:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(stat.S_IMODE(mode) | (mode & stat.S_IRWXU) >> 3)
