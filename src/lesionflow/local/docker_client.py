"""This machine's Docker."""

from collections.abc import Generator
from contextlib import contextmanager

import docker
from docker import errors

from lesionflow.errors import UserError


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


def check_image(client: docker.DockerClient, image: str) -> None:
    """Make sure that an image of the present code is here.

    Raises:
        UserError: it is not.
    """
    try:
        client.images.get(image)
    except errors.ImageNotFound:
        raise UserError(
            f"The image {image} of the present code is not here; build it with 'make images', then run again."
        ) from None
