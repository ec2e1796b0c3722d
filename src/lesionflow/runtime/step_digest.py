"""What a step's result depends on besides its inputs: its code, its libraries, the Keras backend.

A fine-tune step's checkpoints hold this digest of the step itself, however it is run. And kfp.local's
cache key holds none of these, so the local runner adds the digest to each task's environment, which the
key does hold; on a cluster the key holds the image's own digest.
"""

import ast
import hashlib
import importlib.metadata
import os
from functools import cache
from pathlib import Path

from lesionflow.runtime.discover import find_all

VARIABLE = "LESIONFLOW_STEP_DIGEST"
"""In a local task's environment, for kfp.local's cache key; nothing reads it."""

ROOT = Path(__file__).parents[2]


def step_digest(step: str) -> str:
    """Digest of all that `lesionflow.components.<step>.component` imports, directly or not.

    Our own modules count by their source, other libraries by their version, package data (a
    template) by its content, and Keras by its backend too.
    """
    ours, libraries = _closure(f"lesionflow.components.{step}.component")
    digest = hashlib.sha256()
    for path in sorted(ours):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    for library in sorted(libraries):
        for distribution in sorted(set(_distributions().get(library, ()))):
            digest.update(f"{distribution}=={importlib.metadata.version(distribution)}\0".encode())
    if "keras" in libraries:
        digest.update(os.environ.get("KERAS_BACKEND", "tensorflow").encode())
    return digest.hexdigest()


def sources(step: str) -> set[Path]:
    """Files of ours that `lesionflow.components.<step>.component` may need, package data beside them too."""
    return _closure(f"lesionflow.components.{step}.component")[0]


@cache
def _distributions() -> dict[str, list[str]]:
    return {name: list(found) for name, found in importlib.metadata.packages_distributions().items()}


def _closure(module: str) -> tuple[set[Path], set[str]]:
    """Files of ours and top-level names of other libraries that importing `module` may need."""
    files: set[Path] = set()
    libraries: set[str] = set()
    waiting, seen = [module], {module}
    while waiting:
        source = _source(waiting.pop())
        if source is None:
            continue
        files.add(source)
        # Beside report.py lie report.html.j2 and report.css; in a package, the templates that it finds by itself.
        files.update(source.parent.glob("*.j2" if source.name == "__init__.py" else f"{source.stem}.*"))
        for name in _imports(source):
            if not name.startswith("lesionflow."):
                libraries.add(name.split(".")[0])
            elif name not in seen:
                seen.add(name)
                waiting.append(name)
    return files, libraries


def _source(module: str) -> Path | None:
    """The file of one of our modules, or None if `module` names something inside one.

    Not `importlib.util.find_spec`: that imports the parents, and with them Keras.
    """
    path = ROOT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@cache
def _imports(source: Path) -> set[str]:
    """Names imported anywhere in a file, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_bytes())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    if source.name == "__init__.py" and find_all.__module__ in names:  # its modules find themselves
        package = ".".join(source.parent.relative_to(ROOT).parts)
        names.update(f"{package}.{module.stem}" for module in source.parent.glob("*.py") if module != source)
    return names
