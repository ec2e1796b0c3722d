"""Which container images a pipeline names.

On a cluster: by digest, from the one file that the build writes. On this machine: by a tag that
holds the digest of what goes into them.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from lesionflow.errors import UserError
from lesionflow.runtime.files import write_json

CHECKOUT = Path(__file__).parents[3]
PINS_FILE = CHECKOUT / "images" / "digests.json"
"""Written by `make images REPOSITORY=...`; to be committed, so that everybody compiles the same."""

_CONTENT = ("src", "components", "pipelines", "images", "pyproject.toml", "requirements-*.lock", "requirements.lock")
"""What the images are made of; README.md and LICENSE change nothing that runs."""


def content_tag(target: str, digest: str | None = None) -> str:
    """The tag of the image that is built from the present content: `<target>-<digest>`.

    Args:
        target: lean, cpu or gpu.
        digest: of the content, if it is known already.

    Raises:
        UserError: as `content_digest`.
    """
    return f"{target}-{digest or content_digest()}"


def content_digest() -> str:
    """Digest of everything that the images are built from.

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
    return digest.hexdigest()[:12]


def local_image(target: str) -> str:
    """Name on this machine of the image that is built from the present content."""
    return f"lesionflow:{content_tag(target)}"


def read_pins(file: Path | None = None) -> dict[str, str]:
    """Digests of the pushed images that hold the present code.

    Args:
        file: instead of `PINS_FILE`.

    Returns:
        Image name as in `lesionflow.runtime.container_image` -> `repository@sha256:...`; without those that
        were never pushed, or built from other code than is here now.

    Raises:
        UserError: `file` does not exist, or the file is not one that the build wrote.
    """
    if file and not file.is_file():
        raise UserError(f"There is no file {file}; expected the digests that 'make images REPOSITORY=...' writes.")
    pins = _read(file or PINS_FILE)
    present = content_digest() if pins else ""
    return {name: image for name, (image, content) in pins.items() if content == _content(name, present)}


def write_pins(pins: Mapping[str, str]) -> None:
    """Note images that were just built from the present code and pushed; what the file says of others stays.

    Args:
        pins: as `read_pins` returns them.
    """
    noted = {name: {"image": image, "content": content} for name, (image, content) in _read(PINS_FILE).items()}
    present = content_digest()
    noted |= {name: {"image": image, "content": _content(name, present)} for name, image in pins.items()}
    write_json(PINS_FILE, noted)


def _content(name: str, digest: str) -> str:
    return content_tag(name.removeprefix("lesionflow:"), digest)


def _read(file: Path) -> dict[str, tuple[str, str]]:
    """Image name -> its address by digest, and the tag of its content."""
    if not file.exists():
        return {}
    try:
        noted = json.loads(file.read_text(encoding="utf-8"))
        pins = {str(name): (str(pin["image"]), str(pin["content"])) for name, pin in noted.items()}
    except (ValueError, AttributeError, TypeError, KeyError):
        raise UserError(f"{file} is not a list of image digests; build the images again with 'make images'.") from None
    for name, (image, _) in pins.items():
        if "@sha256:" not in image:
            raise UserError(f"{file} gives no digest for {name}; build the images again with 'make images'.")
    return pins
