"""Build the images, tagged by their content; push them and pin their digests.

    make images                                   lean and cpu, for `lesionflow run --runner docker`
    make images REPOSITORY=example.com/team/lesionflow   lean, cpu and gpu, pushed, for a cluster

What is pushed is written to images/digests.json, which `lesionflow compile` and `submit` read.

Not by `docker buildx bake`: the tags hold a digest of our own content, the secrets depend on the machine, and a Docker
without buildx (before 23) builds too; a bake file would be written here and say no more than these arguments do.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Annotated

import typer
from docker import errors
from docker.auth import resolve_repository_name

from lesionflow.errors import UserError
from lesionflow.local.docker_client import docker_client
from lesionflow.runtime.container_images import CHECKOUT, PINS_FILE, content_tag, local_image, write_pins

TARGETS = ("lean", "cpu", "gpu")
LABEL = "org.opencontainers.image."


def build(
    targets: Annotated[
        list[str] | None, typer.Argument(help="lean, cpu, gpu.", show_default="lean cpu; all when pushed")
    ] = None,
    repository: Annotated[str, typer.Option(help="Push there, and pin the digests.")] = "",
    base: Annotated[str, typer.Option(help="Base image, instead of Debian's pinned one.")] = "",
) -> None:
    """Build the images of the present content; push and pin them if a repository is named."""
    check_buildx()
    with docker_client() as client:
        network = "default" if client.networks.list(names=["bridge"]) else "host"
    chosen = targets or list(TARGETS if repository else TARGETS[:2])
    for target in chosen:
        _build(target, base, network)
    if repository:
        pins = {f"lesionflow:{target}": _push(target, repository) for target in chosen}
        write_pins(pins)
        print(f"Pinned in {PINS_FILE.relative_to(CHECKOUT)}:", *pins.values(), sep="\n  ")


def check_buildx() -> None:
    """Make sure that this machine's `docker build` knows BuildKit's secrets, before anything is done.

    Raises:
        UserError: there is no docker command, or it lacks buildx. Docker before 23 does without.
    """
    if shutil.which("docker") is None:
        raise UserError("There is no docker command here; install Docker with its plugin buildx, then run again.")
    said = subprocess.run(["docker", "--version"], capture_output=True, text=True).stdout
    version = re.search(r"Docker version ((\d+)[\w.+~-]*)", said)
    if version is None or int(version[2]) < 23:
        return
    if subprocess.run(["docker", "buildx", "version"], capture_output=True).returncode:
        raise UserError(
            f"Docker {version[1]} builds these images with its plugin buildx, which is missing; install the package "
            "docker-buildx-plugin (from Docker) or docker-buildx (from Debian or Ubuntu), then run again."
        )


def _build(target: str, base: str, network: str) -> None:
    """Run `docker build`: BuildKit's secrets are beyond Docker's Python library. The locks are for this platform."""
    labels = {
        "title": f"lesionflow {target}",
        "description": "A skin-lesion classifier's training pipeline; research use, not a medical device.",
        "licenses": "Apache-2.0",
        "version": content_tag(target),
        "revision": _revision(),
    }
    command = [
        "docker",
        "build",
        "--platform",
        "linux/amd64",
        "--target",
        target,
        "--tag",
        local_image(target),
        "--network",
        network,
    ]
    for name, value in labels.items():
        command += ["--label", f"{LABEL}{name}={value}"]
    for identifier, file in _secrets().items():
        command += ["--secret", f"id={identifier},src={file}"]
    if base:
        command += ["--build-arg", f"BASE={base}"]
    command += ["--file", str(CHECKOUT / "images" / "Dockerfile"), str(CHECKOUT)]
    print(f"Building {local_image(target)} ...", flush=True)
    _run(command)
    with docker_client() as client:
        size = client.images.get(local_image(target)).attrs["Size"]
    print(f"Built {local_image(target)}, {size / 1e6:.0f} MB", flush=True)


def _secrets() -> dict[str, Path]:
    """pip's configuration and the CA bundle of this machine, which the build needs and the image must not hold."""
    candidates = {
        "pip": (os.environ.get("PIP_CONFIG_FILE"), "~/.config/pip/pip.conf", "~/.pip/pip.conf", "/etc/pip.conf"),
        "ca": tuple(map(os.environ.get, ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"))),
    }
    found: dict[str, Path] = {}
    for identifier, names in candidates.items():
        for file in (Path(name).expanduser() for name in names if name):
            if file.is_file():
                found.setdefault(identifier, file)
    return found


def _revision() -> str:
    git = ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty", "--abbrev=40"]
    return subprocess.run(git, capture_output=True, text=True).stdout.strip() or "unknown"


def _push(target: str, repository: str) -> str:
    """Push an image and return its address by digest."""
    address = f"{repository}:{content_tag(target)}"
    _run(["docker", "tag", local_image(target), address])
    _run(["docker", "push", "--quiet", address])
    with docker_client() as client:
        digests: list[str] = client.images.get(address).attrs["RepoDigests"]
    for name, _, digest in (pushed.partition("@") for pushed in digests):
        if resolve_repository_name(name) == resolve_repository_name(repository):  # Docker drops its own registry's name
            return f"{repository}@{digest}"
    raise UserError(f"Docker names no digest of {address} after pushing it, only {', '.join(digests) or 'none'}.")


def _run(command: list[str]) -> None:
    result = subprocess.run(
        command, env={**os.environ, "DOCKER_BUILDKIT": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if result.returncode:
        print(result.stdout)
        raise UserError(f"'{' '.join(command[:2])}' failed with exit code {result.returncode}; its output is above.")


def main() -> None:
    """Entry point."""
    try:
        typer.run(build)
    except (UserError, errors.DockerException) as error:
        raise SystemExit(f"Error: {error}") from None


if __name__ == "__main__":
    main()
