"""Which container images a pipeline names.

On a cluster: by digest, from the one file that the build writes. On this machine: by a tag that
holds the digest of what goes into them.
"""

import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from components.common.errors import UserError

if TYPE_CHECKING:
    from kfp.dsl.graph_component import GraphComponent

CHECKOUT = Path(__file__).parent.parent
PINS_FILE = CHECKOUT / "images" / "digests.json"
"""Written by `make images REPOSITORY=...`: image name -> `repository@sha256:...`."""

_CONTENT = ("components", "pipelines", "images", "pyproject.toml", "requirements-*.lock", "requirements.lock")
"""What the images are made of; README.md and LICENSE change nothing that runs."""


def content_tag(target: str) -> str:
    """The tag of the image that is built from the present content: `<target>-<digest>`.

    Args:
        target: lean, cpu or gpu.

    Raises:
        UserError: this is an installed package without what images are built from.
    """
    if not (CHECKOUT / "images" / "Dockerfile").exists():
        raise UserError(f"Images are built from a checkout of lesionflow, and {CHECKOUT} is none; clone it.")
    digest = hashlib.sha256()
    for pattern in _CONTENT:
        for path in sorted(CHECKOUT.glob(pattern)):
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file() and file != PINS_FILE and "__pycache__" not in file.parts:
                    content = hashlib.sha256(file.read_bytes()).hexdigest()
                    digest.update(f"{file.relative_to(CHECKOUT).as_posix()} {content}\n".encode())
    return f"{target}-{digest.hexdigest()[:12]}"


def local_image(target: str) -> str:
    """Name on this machine of the image that is built from the present content."""
    return f"lesionflow:{content_tag(target)}"


def read_pins(file: Path | None = None) -> dict[str, str]:
    """Digests of the images that were built and pushed last.

    Args:
        file: instead of `PINS_FILE`.

    Returns:
        Image name as in `components.common.container_image` -> `repository@sha256:...`; empty if
        none was built.

    Raises:
        UserError: the file is not one that the build wrote.
    """
    file = file or PINS_FILE
    if not file.exists():
        return {}
    try:
        pins: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
        unpinned = [name for name, image in pins.items() if "@sha256:" not in image]
    except (ValueError, AttributeError, TypeError):
        raise UserError(f"{file} is not a list of image digests; build the images again with 'make images'.") from None
    if unpinned:
        raise UserError(f"{file} gives no digest for {unpinned[0]}; build the images again with 'make images'.")
    return pins


def with_images(pipeline: "GraphComponent", images: Mapping[str, str]) -> "GraphComponent":
    """A copy of `pipeline` in which each image named in `images` is replaced."""
    renamed = copy.deepcopy(pipeline)
    for executor in renamed.pipeline_spec.deployment_spec["executors"].values():
        if "container" in executor:
            image = executor["container"]["image"]
            executor["container"]["image"] = images.get(image, image)
    return renamed
