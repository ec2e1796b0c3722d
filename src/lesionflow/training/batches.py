"""The batches of one epoch."""

import math
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from lesionflow.recipe import Recipe
from lesionflow.training.mixing import Mixing
from lesionflow.training.sampling import Examples


class EpochBatches(keras.utils.PyDataset):
    """The batches of one epoch: uint8 pixels, labels, and weights if any differs from 1."""

    def __init__(
        self,
        examples: Examples,
        rows: NDArray[np.int64],
        batch_size: int,
        mixing: Mixing | None = None,
        first: int = 0,
    ) -> None:
        """Gather `rows` of `examples`, `batch_size` at a time; the last batch may be smaller.

        Args:
            examples: all of them.
            rows: of the epoch, or of what is left of it.
            batch_size: images in a batch.
            mixing: mixes the images of each batch; the labels are shares of the classes then.
            first: number in the epoch of the first of these batches.
        """
        super().__init__()
        self.mixing = mixing
        self.first = first
        self.examples = examples
        self.rows = rows
        self.batch_size = batch_size
        self.weighted = bool(np.any(examples.weight != 1))

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        rows = self.rows[index * self.batch_size : (index + 1) * self.batch_size]
        batch = self.examples.pixels[rows], self.examples.labels[rows], self.examples.weight[rows]
        if self.mixing:
            batch = self.mixing.mix(self.first + index, *batch)
        return batch if self.weighted else batch[:2]


def steps_per_epoch(examples: Examples, recipe: Recipe) -> int:
    """Count the batches in one epoch."""
    return math.ceil(round(examples.sampling_weights.sum()) / recipe.batch_size)
