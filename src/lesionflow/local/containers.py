"""Tasks as containers of this machine's Docker: kfp.local's DockerRunner.

What a container is allowed is in `container_settings`, what is made of its end in `watched_container`.
"""

import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress

import docker
from docker import errors
from docker.models.containers import Container
from kfp import local
from kfp.dsl.graph_component import GraphComponent

from lesionflow.compat.kfp_local import containers_run_by
from lesionflow.compat.process import files_open_to_group
from lesionflow.local.backend import SAVING, LocalRunner, RunPlace
from lesionflow.local.container_settings import ContainerNeeds, container_settings, open_to_group
from lesionflow.local.docker_client import check_image, docker_client
from lesionflow.local.watched_container import WatchedContainer, remove_container
from lesionflow.pipelines.images import with_images
from lesionflow.runtime.container_image import CPU_IMAGE, GPU_IMAGE, LEAN_IMAGE
from lesionflow.runtime.container_images import local_image
from lesionflow.runtime.events import BEGUN, RunEvents

LABEL = "lesionflow.workspace"
"""On every container: the workspace that it works in."""


class ContainerBackend:
    """Runs each task in a container of the image that a cluster would use.

    Args:
        needs: what the tasks need of this machine.
    """

    def __init__(self, needs: ContainerNeeds | None = None) -> None:
        self._needs = needs or ContainerNeeds()
        self._images = {
            LEAN_IMAGE: local_image("lean"),
            CPU_IMAGE: local_image("cpu"),
            GPU_IMAGE: local_image("gpu" if self._needs.gpus else "cpu"),
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
                check_image(client, image)
            self._remove_containers(client)  # of a run that was killed
            settings = container_settings(client, place, self._needs, self._label)
        another_user = os.getuid() == 0  # whose group is 0
        if another_user:
            open_to_group(place)
        watched = WatchedContainer(events, self._needs.memory)
        with files_open_to_group(another_user), containers_run_by(watched):
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
            remove_container(container)
