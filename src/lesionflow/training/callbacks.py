"""What listens to `fit`."""

import time
from typing import Any, cast

import keras

from lesionflow.runtime.progress import report
from lesionflow.training.part_epoch import values

REPORT_SECONDS = 0.25


class Unaveraged(keras.callbacks.Callback):
    """Keeps what the weights were before `fit`, as it ends, puts their moving average in their place.

    Not `keras.callbacks.SwapEMAWeights` (keras-team/keras#18978): on TensorFlow it swaps by adding and subtracting,
    which rounds the weights, so a training that is resumed would end with other bits; and `fit` would still put the
    average there as it ends.
    """

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Copy them."""
        self.weights = values(cast(Any, self.model).trainable_variables)


class BatchProgress(keras.callbacks.Callback):
    """Reports the batches done in the step, a few times a second."""

    def __init__(self, done: int, total: int) -> None:
        """Continue from `done` of `total` batches."""
        super().__init__()
        self.done = done
        self.total = total
        self.reported = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the batch."""
        self.done += 1
        now = time.monotonic()
        if now - self.reported >= REPORT_SECONDS:
            self.reported = now
            report("progress", done=self.done, total=self.total)
