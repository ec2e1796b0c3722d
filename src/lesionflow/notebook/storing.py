"""Where a notebook's artifacts lie: in folders named by what they were made from, so a cell run again costs nothing."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lesionflow.runtime.files import write_json
from lesionflow.runtime.step_digest import step_digest

FOLDER = Path("lesionflow-runs", "notebook")
"""Of all artifacts, unless `ingest` is told another; below the folder in which the command keeps its runs."""

MADE_FROM = "made_from.json"
"""In each artifact's folder, written last: a folder without it was left by a call that was interrupted."""


def stored(root: Path, step: str, inputs: Mapping[str, Any], write: Callable[[Path], object]) -> Path:
    """Make an artifact, or find the one that an earlier call made from the same inputs with the same code.

    Args:
        root: folder of all artifacts.
        step: what makes it.
        inputs: everything that it depends on but the step's code, JSON.
        write: writes it into the folder that it is given.

    Returns:
        The artifact's folder.
    """
    made_from = {"step": step, "code": step_digest(step), **inputs}
    key = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:12]
    folder = root / f"{step}-{key}"
    if not (folder / MADE_FROM).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write(folder)
        write_json(folder / MADE_FROM, made_from)
    return folder
