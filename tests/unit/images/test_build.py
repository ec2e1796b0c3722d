"""`make images`: what is missing on this machine is said before any work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[3] / "images" / "build.py"


def build(folder: Path, docker: str | None) -> subprocess.CompletedProcess[str]:
    """Run the build with nothing but a `docker` of this text on the PATH, and no daemon."""
    if docker is not None:
        (folder / "docker").write_text(f"#!/bin/sh\n{docker}\n")
        (folder / "docker").chmod(0o755)
    environment = os.environ | {"PATH": str(folder), "DOCKER_HOST": f"unix://{folder}/no-daemon"}
    return subprocess.run([sys.executable, BUILD], env=environment, capture_output=True, text=True, timeout=120)


VERSION = 'if [ "$1" = --version ]; then echo "Docker version {}, build 360952c"; else exit {}; fi'


@pytest.mark.parametrize(
    ("docker", "words"),
    [
        (VERSION.format("29.1.3", 1), "Docker 29.1.3 builds these images with its plugin buildx, which is missing;"),
        (VERSION.format("23.0.0+dfsg1", 1), "install the package docker-buildx-plugin (from Docker) or docker-buildx"),
        (None, "There is no docker command here; install Docker with its plugin buildx"),
    ],
)
def test_what_to_install_is_one_sentence(tmp_path: Path, docker: str | None, words: str) -> None:
    ended = build(tmp_path, docker)
    assert ended.returncode != 0
    assert (ended.stdout, ended.stderr.count("\n")) == ("", 1)
    assert ended.stderr.startswith("Error: ")
    assert words in ended.stderr


@pytest.mark.parametrize("docker", [VERSION.format("29.1.3", 0), VERSION.format("20.10.24+dfsg1", 1)])
def test_a_docker_that_can_build_is_not_held_up(tmp_path: Path, docker: str) -> None:
    ended = build(tmp_path, docker)
    assert ended.returncode != 0
    assert "buildx" not in ended.stderr
    assert "no-daemon" in ended.stderr or "connect" in ended.stderr.lower(), ended.stderr
