"""What goes wrong with an object store now and then, at random but by a seed."""

import random
from threading import Lock

KINDS = ("503", "drop", "drop-after")
"""Unavailable; the connection breaks before the request was handled; it breaks after that."""


class Faults:
    """Decides for each request whether it fails, and how."""

    def __init__(self) -> None:
        """None fails until `share` is set."""
        self.share = 0.0
        self.count = 0
        self._random = random.Random(0)
        self._lock = Lock()

    def next(self) -> str | None:
        """One of KINDS, or None."""
        with self._lock:
            if self._random.random() >= self.share:
                return None
            self.count += 1
            return self._random.choice(KINDS)
