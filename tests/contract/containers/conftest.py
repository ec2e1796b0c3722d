"""Real containers: a Docker that answers, and the images of the present code.

`.ci/run` starts a daemon of its own; elsewhere the tests use the one that DOCKER_HOST names.
"""

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import docker
import pytest

from lesionflow.errors import UserError
from lesionflow.local.docker_client import docker_client

BUILD = Path(__file__).parents[3] / "images" / "build.py"


@pytest.fixture(scope="session")
def images() -> None:
    """The lean and cpu images of the present code, built if they are not there."""
    try:
        with docker_client():
            pass
    except UserError as error:
        pytest.skip(f"no Docker: {error}")
    base = os.environ.get("LESIONFLOW_BASE_IMAGE", "")
    built = subprocess.run(
        [sys.executable, str(BUILD), *(["--base", base] if base else [])], capture_output=True, text=True
    )
    assert built.returncode == 0, built.stdout + built.stderr
    print(built.stdout)


@pytest.fixture
def docker_engine(images: None) -> Generator[docker.DockerClient]:
    with docker_client() as client:
        yield client
