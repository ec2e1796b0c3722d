"""Files that are either whole or absent: written under a temporary name, then renamed."""

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lesionflow.errors import UserError


@contextmanager
def whole_file(path: str | Path) -> Generator[Path]:
    """Yield a temporary file name beside `path`; rename it to `path` if the block succeeds.

    Raises whatever the block raises, after removing the temporary file.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; an artifact is read by other users (a server, a colleague).
        temporary.chmod(0o644)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | Path) -> Generator[Path]:
    """Yield a temporary folder beside `path`; rename it to `path` if the block succeeds.

    An existing folder at `path` is replaced.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        yield temporary
        temporary.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_output(path: Path) -> None:
    """Refuse a place at which no file can be written, before any work is done.

    Raises:
        UserError: a folder lies there, or the folder above cannot be made or written.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the name of a file to write.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); give the name of a file elsewhere.") from None


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as strictly valid JSON (see `finite`) to `path`, whole or not at all."""
    write_text(path, json.dumps(finite(value), indent=2, allow_nan=False) + "\n")


def read_json(path: Path, folder: str) -> dict[str, Any]:
    """Read a JSON object that lesionflow wrote into a folder of its own.

    Args:
        path: the file.
        folder: what was expected to hold it, for messages: "a model folder that lesionflow wrote".

    Raises:
        UserError: there is no such file, or it holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise UserError(f"There is no {path.name} in {path.parent}; expected {folder}.") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); expected it as lesionflow wrote it.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a JSON object; expected it as lesionflow wrote it.")
    return content


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def finite(value: object) -> Any:
    """Return `value` with every NaN and infinity replaced by None, at any depth.

    NaN in a metric or in artifact metadata becomes invalid JSON that the KFP launcher rejects.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [finite(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value
