"""The folder in which local runs live: one store of artifacts, one registry, one folder per run."""

import fcntl
import os
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lesionflow.artifacts.summary import SUMMARY
from lesionflow.errors import UserError

ENOUGH_DISK = 2**30
"""Free bytes without which no run starts: the stored images, three models and their checkpoints."""

LATEST = (SUMMARY, "report.html", "model")
"""What the workspace itself shows of its latest run."""


class RunLock:
    """An exclusive lock on a file, which frees itself when its holder dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def acquire(self, patience: float) -> bool:
        """Try for `patience` seconds: a run that was just killed leaves the lock to its dying task for a moment."""
        assert self._descriptor is not None
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.05)

    def release(self) -> None:
        """Free the lock, on which the running task ends itself; may be called twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@dataclass(frozen=True)
class Workspace:
    """`--output` of the command line."""

    root: Path

    @property
    def store(self) -> Path:
        """Artifacts of all runs: a reused step's outputs stay where the run that made them put them."""
        return self.root / "store"

    @property
    def cache(self) -> Path:
        """kfp.local's cache: one for all runs, else it never hits."""
        return self.store / "cache"

    @property
    def checkpoints(self) -> Path:
        """Per-epoch checkpoints of unfinished fine-tune steps."""
        return self.store / "checkpoints"

    @property
    def registry(self) -> Path:
        """Default destination of promoted models."""
        return self.root / "registry"

    @property
    def runs(self) -> Path:
        """One folder per run."""
        return self.root / "runs"

    @property
    def lock_file(self) -> Path:
        """Held by the one run that works here; its tasks end when it is free."""
        return self.root / ".lock"

    @contextmanager
    def locked(self) -> Generator[RunLock]:
        """Hold the workspace for this process.

        Raises:
            UserError: another run works here, the folder cannot be written, or the disk is full.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = RunLock(self.lock_file)
        except OSError as error:
            raise UserError(f"Cannot write to the output folder {self.root}: {error.strerror}.") from None
        try:
            free = shutil.disk_usage(self.root).free
            if free < ENOUGH_DISK:
                raise UserError(
                    f"Only {free / 2**20:.0f} MiB are free on the disk of {self.root}; "
                    f"a run needs {ENOUGH_DISK / 2**20:.0f} MiB. Free some, or choose another --output."
                )
            if not lock.acquire(patience=5):
                raise UserError(
                    f"Another run is working in {self.root}; wait for it to end, "
                    "or choose another folder with --output."
                )
            yield lock
        finally:
            lock.release()

    def new_run(self) -> Path:
        """Create and return a fresh run folder, named by the time, with `logs/` and `progress/`."""
        stem = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        run = self.runs / stem
        for attempt in range(2, 100):
            if not run.exists():
                break
            run = self.runs / f"{stem}_{attempt}"
        for name in ("logs", "progress", "tmp"):
            (run / name).mkdir(parents=True)
        return run

    def show_latest(self, run: Path) -> None:
        """Point `latest`, `summary.json`, `report.html` and `model` in the workspace at `run`."""
        links = {"latest": run, **{name: run / name for name in LATEST}}
        for name, target in links.items():
            link = self.root / name
            if not target.exists():
                link.unlink(missing_ok=True)
                continue
            fresh = self.root / f".{name}.new"
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(target.relative_to(self.root))
            fresh.replace(link)
