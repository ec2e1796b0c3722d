"""SIGTERM while a step trains: the batch is finished, the state within the epoch saved, the step left.

Kubernetes sends it to a pod some 30 seconds before it takes the node away. What is lost then is at most
one batch; after SIGKILL, the epoch. A pod of Kubeflow gets the whole time only if all of its processes do:
KFP's launcher (2.x) installs no handler, so where the signal reaches it too, the container ends with it
and the step may not have had the second that saving takes.
"""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def termination_noted() -> Generator[Callable[[], bool]]:
    """Let SIGTERM wait for as long as the block runs.

    Yields:
        A function that tells whether it came. Outside the main thread, which alone receives signals, it
        is always False, and SIGTERM does what it did.
    """
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGTERM, note)
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGTERM, before)
