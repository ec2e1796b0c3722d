"""How many pixels may be decoded at the same time: what bounds memory, whatever the number of threads or processes."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from typing import Any

from lesionflow.data.image_decode import LARGEST_PIXELS
from lesionflow.runtime.memory import available_memory

_BYTES = 13  # of memory that a pixel takes at the most: Pillow's four, libjpeg's six, three as bytes
_SHARE = 4  # of the memory that is left, images take one part in so many


class PixelBudget:
    """So many pixels at a time; who would be one too many waits until others are done."""

    def __init__(self, pixels: int = 0, context: BaseContext | None = None) -> None:
        """Set it up.

        Args:
            pixels: at a time; 0 for what a quarter of the memory that is left has room for. One image of the largest
                size is always let through.
            context: of processes that will share the budget, forked after this; None for threads only.
        """
        self._most = max(LARGEST_PIXELS, pixels or available_memory() // _SHARE // _BYTES)
        self._changed: Any = context.Condition() if context else threading.Condition()
        self._used: Any = context.RawValue("q", 0) if context else _Number()

    @contextmanager
    def hold(self, pixels: int) -> Generator[None]:
        """Wait for room, and keep it as long as the block runs."""
        with self._changed:
            self._changed.wait_for(lambda: self._used.value == 0 or self._used.value + pixels <= self._most)
            self._used.value += pixels
        try:
            yield
        finally:
            with self._changed:
                self._used.value -= pixels
                self._changed.notify_all()


class _Number:
    """As a shared one, for one process."""

    value = 0
