"""What is process-wide in Python and its C library: changed here, each with why, and nowhere else."""

import ctypes
import gc
import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


def collect_garbage_rarely() -> None:
    """Let Python look for circular garbage less often, and leave what is alive at the end alone.

    Importing and tracing make millions of objects that stay, and looking through them is a part of each TensorFlow
    step's time. Undo nothing: a step's process ends with its step.
    """
    gc.set_threshold(100_000, 20, 100)


def skip_last_collection() -> None:
    """Freeze all objects, which Python else looks through once more as it ends: seconds after TensorFlow."""
    gc.freeze()


def write_output_to(log: Path) -> None:
    """Append file descriptors 1 and 2 to a file, so that native libraries' output goes there too."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


@contextmanager
def errors_into(file: IO[bytes]) -> Generator[None]:
    """Send file descriptor 2 to a file while the block runs: native libraries write there past `sys.stderr`.

    TensorFlow 2.21 greets with several lines before any of its log-level variables takes effect.
    """
    kept = os.dup(2)
    try:
        sys.stderr.flush()
        os.dup2(file.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def environment(settings: Mapping[str, str]) -> Generator[None]:
    """Set variables of the environment, which children and libraries read, while the block runs."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def look_for_googles_machines_once() -> None:
    """Let google-auth ask once for the metadata server of Google's machines: elsewhere, each try is a wait in vain.

    It reads the variable as it is imported, and takes no argument for it. What the user has set stays.
    """
    os.environ.setdefault("GCE_METADATA_DETECT_RETRIES", "1")


@contextmanager
def files_open_to_group(wanted: bool) -> Generator[None]:
    """Let new files be readable and writable by their group while the block runs, if wanted."""
    umask = os.umask(0)  # the one way to read it sets it
    os.umask(umask & ~0o070 if wanted else umask)
    try:
        yield
    finally:
        os.umask(umask)


def keep_freed_memory() -> None:
    """Let glibc keep freed memory instead of handing megabytes back to the system after each large object.

    Fetching them again, page by page, is a good part of the work on pictures. There is no portable way; another C
    library is left as it is.
    """
    m_trim_threshold, m_mmap_threshold = -1, -3
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(m_mmap_threshold, 2**25)
        mallopt(m_trim_threshold, 2**28)
