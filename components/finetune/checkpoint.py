"""Where a training stands after an epoch, in one file that is whole, damaged-and-noticed, or absent.

    <checkpoints>/<step>-<key>/state     SHA-256 of the rest, then a NumPy archive
                               lock      held by the one process that trains here

The key is a digest of everything that the training is a function of, so a checkpoint is never
picked up by a training that would not have written it.
"""

import fcntl
import hashlib
import io
import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.common.errors import UserError
from components.common.files import whole_file

STATE = "state"
LOCK = "lock"

Arrays = list[NDArray[Any]]


class DamagedCheckpoint(Exception):
    """The file is not what was written."""


@dataclass(frozen=True)
class Checkpoint:
    """All that the next epoch needs."""

    weights: Arrays
    """Of the model, in Keras' order."""
    optimizer: Arrays
    """Its variables, in Keras' order."""
    best: Arrays
    """The weights after the best epoch so far."""
    history: list[dict[str, Any]]
    """One row for each finished epoch of this step."""


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint`, replacing the last one in an instant."""
    arrays: dict[str, NDArray[Any]] = {
        f"{group}_{index:04d}": array
        for group in ("weights", "optimizer", "best")
        for index, array in enumerate(getattr(checkpoint, group))
    }
    arrays["history"] = np.frombuffer(json.dumps(checkpoint.history).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    content = buffer.getbuffer()
    with whole_file(folder / STATE) as temporary, temporary.open("wb") as file:
        file.write(hashlib.sha256(content).digest())
        file.write(content)


def load(folder: Path) -> Checkpoint | None:
    """Read the checkpoint in `folder`; None if there is none.

    Raises:
        DamagedCheckpoint: the file was cut or changed after it was written.
    """
    try:
        data = (folder / STATE).read_bytes()
    except FileNotFoundError:
        return None
    size = hashlib.sha256().digest_size
    if hashlib.sha256(memoryview(data)[size:]).digest() != data[:size]:
        raise DamagedCheckpoint(f"{folder / STATE}: its SHA-256 does not match its content")
    with np.load(io.BytesIO(memoryview(data)[size:]), allow_pickle=False) as archive:
        groups: dict[str, Arrays] = {"weights": [], "optimizer": [], "best": []}
        for name in sorted(archive.files):
            group, _, _ = name.partition("_")
            if group in groups:
                groups[group].append(archive[name])
        history = json.loads(archive["history"].tobytes())
    return Checkpoint(**groups, history=history)


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """Hold the checkpoint folder for this process; the lock goes with the process, however that ends.

    Raises:
        UserError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"Another process is training with the checkpoints in {folder}; wait for it or end it, then run again."
            ) from None
        yield
    finally:
        os.close(handle)


def key(inputs: Mapping[str, Any], *arrays: NDArray[Any]) -> str:
    """Digest of everything that a training is a function of.

    Args:
        inputs: JSON-serialisable settings.
        *arrays: data and starting weights.

    Returns:
        16 hexadecimal digits.
    """
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]
