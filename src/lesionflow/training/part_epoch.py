"""An epoch trained in two parts, with the bits of one trained in one."""

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from lesionflow.training.checkpoint import Arrays, UnderWay


class EpochPart(keras.callbacks.Callback):
    """Begins an epoch where another process left it, if one did, and leaves it after a batch when asked to.

    Everything that `fit` would start afresh is carried over: the generators of the augmentation and the
    dropout, and the sums behind the epoch's loss and accuracy. The rest is in the optimizer's variables.
    """

    def __init__(self, model: keras.Model, begun: UnderWay | None, asked: Callable[[], bool]) -> None:
        """Train `model` on from `begun`, until `asked` says to stop."""
        super().__init__()
        self.trained: Any = model
        self.begun = begun
        self.asked = asked
        self.batches = begun.batches if begun else 0
        """Done in this epoch, the earlier part's included."""
        self.started = time.monotonic() - (begun.seconds if begun else 0.0)

    @property
    def seconds(self) -> float:
        """That this epoch has taken, the earlier part included."""
        return time.monotonic() - self.started

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Take up the state; Keras has just reset the metrics."""
        if self.begun:
            assign(seed_generators(self.trained), self.begun.generators)
            assign(self.trained.metrics_variables, self.begun.metrics)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the batch."""
        self.batches += 1
        if self.asked():
            self.trained.stop_training = True

    def under_way(self) -> UnderWay:
        """Note what the next part goes on from; to be called after `fit`."""
        return UnderWay(
            self.batches, self.seconds, values(seed_generators(self.trained)), values(self.trained.metrics_variables)
        )


def build_metrics(model: keras.Model, batch: tuple[Any, ...]) -> None:
    """Make the metrics' variables, which Keras does in the first step only.

    That is too late to restore them. It also makes TensorFlow trace the step a second time, as it does
    with each tf.function whose first trace makes variables.

    Args:
        model: a compiled one.
        batch: one that it is to train on.
    """
    labels = batch[1]
    model.compute_metrics(None, labels, np.zeros((len(labels), *model.output_shape[1:]), np.float32))


def seed_generators(model: keras.Model) -> list[Any]:
    """States of the generators behind augmentation and dropout, which no file format of Keras holds."""
    return [variable for variable in model.variables if variable.name == "seed_generator_state"]


def values(variables: list[Any]) -> Arrays:
    """Copies of what the variables hold."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assign(variables: list[Any], arrays: Arrays) -> None:
    """Put `arrays` into `variables`, one into each."""
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
