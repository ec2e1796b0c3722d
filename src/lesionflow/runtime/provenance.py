"""What made a model, besides its data and its recipe: the code and the container image."""

import hashlib
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lesionflow.runtime.document import Part
from lesionflow.runtime.step_digest import sources

IMAGE_VARIABLE = "LESIONFLOW_IMAGE"
"""The container image that a task runs in, as the pipeline names it: on a cluster `repository@sha256:...`."""


class Provenance(Part):
    """What made something, besides its data and its recipe."""

    lesionflow: str | None
    """Its version; None for code that was not installed."""
    code: str
    """Digest of its steps' code."""
    image: str | None
    """The container image; None for a process that is no container."""


def provenance() -> Provenance:
    """What this process is."""
    try:
        lesionflow = version("lesionflow")
    except PackageNotFoundError:
        lesionflow = None
    return Provenance(lesionflow=lesionflow, code=code_digest(), image=os.environ.get(IMAGE_VARIABLE) or None)


def code_digest() -> str:
    """SHA-256 over the sources of all steps, in hexadecimal: the adapters and what of lesionflow they import."""
    root = Path(__file__).parents[1]
    steps = [path.parent.name for path in root.glob("components/*/component.py")]
    digest = hashlib.sha256()
    for path in sorted(set[Path]().union(*map(sources, steps))):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return digest.hexdigest()
