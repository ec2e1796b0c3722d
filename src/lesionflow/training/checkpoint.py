"""Where a training stands after an epoch or within one, in one file that is whole, damaged-and-noticed, or absent.

    <checkpoints>/<step>-<key>/state     SHA-256 of the rest, then a NumPy archive
                               lock      on a local disk: held by the one process that trains here

The key is a digest of everything that the training is a function of, so a checkpoint is never
picked up by a training that would not have written it. Each epoch's state replaces the last one's:
a step leaves one file, which `lesionflow clean` removes locally and a lifecycle rule in a bucket. The
step itself keeps it, for its pod may yet be evicted while the finished model is uploaded.
"""

import fcntl
import hashlib
import io
import json
import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionflow import storage
from lesionflow.errors import UserError
from lesionflow.storage import Address, AnyAddress
from lesionflow.training.history import EpochRow

STATE = "state"
LOCK = "lock"
_DIGEST_SIZE = hashlib.sha256().digest_size

Arrays = list[NDArray[Any]]


class DamagedCheckpoint(Exception):
    """The file is not what was written."""


@dataclass(frozen=True)
class UnderWay:
    """What an epoch that was left after some batches needs beside the weights and the optimizer."""

    batches: int
    """Done."""
    seconds: float
    """Spent on them."""
    generators: Arrays
    """States of the random generators."""
    metrics: Arrays
    """Sums behind the epoch's loss and accuracy."""


@dataclass(frozen=True)
class Checkpoint:
    """All that the next epoch, or the rest of this one, needs."""

    weights: Arrays
    """Those of the model, in Keras' order."""
    optimizer: Arrays
    """Its variables, in Keras' order."""
    best: Arrays
    """The weights after the best epoch so far; those of the start, if no epoch was better."""
    history: list[EpochRow]
    """One row for each finished epoch of this step."""
    start: float | None = None
    """Validation macro-F1 of what the step began with; None if that is not worth keeping."""
    under_way: UnderWay | None = None
    """The epoch after these, if it has begun."""

    @property
    def reached(self) -> tuple[int, float]:
        """The best epoch so far, 0 for the start, and its validation macro-F1; the earliest of equals."""
        scores = {row["epoch"]: row["val_macro_f1"] for row in self.history}
        if self.start is not None:
            scores = {0: self.start, **scores}
        return max(scores.items(), key=lambda item: item[1], default=(0, -1.0))


def save(place: AnyAddress, checkpoint: Checkpoint) -> None:
    """Write `checkpoint`, replacing the last one in an instant.

    A store that fails for good costs a sentence in the log, not the training: the next epoch tries
    again, and until then the last checkpoint that was saved counts.

    Args:
        place: folder or bucket prefix.
        checkpoint: the state to go on from.
    """
    groups = {"weights": checkpoint.weights, "optimizer": checkpoint.optimizer, "best": checkpoint.best}
    arrays = {"history": _as_array(checkpoint.history), "start": _as_array(checkpoint.start)}
    if begun := checkpoint.under_way:
        groups |= {"generators": begun.generators, "metrics": begun.metrics}
        arrays["underway"] = _as_array({"batches": begun.batches, "seconds": begun.seconds})
    arrays |= {
        f"{group}_{index:04d}": array for group, members in groups.items() for index, array in enumerate(members)
    }
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    content = buffer.getvalue()
    try:
        storage.write_bytes(_state(place), hashlib.sha256(content).digest() + content)
    except UserError as error:
        print(
            f"The checkpoint after epoch {len(checkpoint.history)} was not saved, training goes on: {error}",
            file=sys.stderr,
            flush=True,
        )


def load(place: AnyAddress) -> Checkpoint | None:
    """Read the checkpoint in `place`; None if there is none.

    Raises:
        DamagedCheckpoint: the file was cut or changed after it was written.
        UserError: the place cannot be read.
    """
    found = storage.read_versioned(_state(place))
    if found is None:
        return None
    data = found[0]
    content = memoryview(data)[_DIGEST_SIZE:]
    if hashlib.sha256(content).digest() != data[:_DIGEST_SIZE]:
        raise DamagedCheckpoint(f"{_state(place)}: its SHA-256 does not match its content")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        groups: dict[str, Arrays] = {"weights": [], "optimizer": [], "best": [], "generators": [], "metrics": []}
        for name in sorted(archive.files):
            group, numbered, _ = name.partition("_")
            if numbered:
                groups[group].append(archive[name])
        history, start = (json.loads(archive[name].tobytes()) for name in ("history", "start"))
        begun = json.loads(archive["underway"].tobytes()) if "underway" in archive else None
    generators, metrics = groups.pop("generators"), groups.pop("metrics")
    under_way = UnderWay(begun["batches"], begun["seconds"], generators, metrics) if begun else None
    return Checkpoint(**groups, history=history, start=start, under_way=under_way)


@contextmanager
def locked(place: AnyAddress) -> Generator[None]:
    """Hold a checkpoint folder for this process; the lock goes with the process, however that ends.

    A bucket has no locks and needs none here: two pods with the same key train the same thing to the
    same bits, so whoever writes last leaves a state that both could go on from.

    Raises:
        UserError: another process holds it.
    """
    address = Address.parse(place)
    if address.is_remote:
        yield
        return
    folder = address.local
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


def _as_array(value: object) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def _state(place: AnyAddress) -> Address:
    return Address.parse(place) / STATE


def key(inputs: Mapping[str, Any], *arrays: NDArray[Any]) -> str:
    """Digest everything that a training is a function of.

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
