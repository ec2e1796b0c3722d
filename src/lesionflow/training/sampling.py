"""Which rows of the training table an epoch draws, and in which order."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lesionflow.data.pixels import MappedPixels, Pixels


@dataclass(frozen=True)
class Examples:
    """Decoded images, with how each counts in training."""

    pixels: Pixels | MappedPixels
    """RGB, shape (n, size, size, 3); or what a frozen backbone makes of them, see `features.with_features`."""
    labels: NDArray[np.int32]
    """Class of each image, its index in the taxonomy, shape (n,)."""
    weight: NDArray[np.float32]
    """Factor of each row's loss, shape (n,)."""
    sampling_weights: NDArray[np.float64]
    """Expected number of times that each row is drawn in an epoch, shape (n,)."""


def epoch_rows(sampling_weights: NDArray[np.float64], seed: int, epoch: int) -> NDArray[np.int64]:
    """The rows of one epoch, in order: a pure function of its arguments.

    Each row occurs floor(w) or ceil(w) times, on average over epochs w times, w being its sampling weight, and
    the length is always their sum: systematic sampling of the fractions over rows in random
    order (Madow 1949, doi 10.1214/aoms/1177729988).

    Args:
        sampling_weights: expected number of times for each row, shape (n,); their sum is whole.
        seed: of the training, >= 0.
        epoch: any number >= 0 that differs between epochs.

    Returns:
        Row numbers, shape (sum(sampling_weights),).
    """
    random = np.random.default_rng([seed, epoch])
    counts = np.floor(sampling_weights).astype(np.int64)
    order = random.permutation(len(sampling_weights))
    # Rounding keeps sums whole that are whole but for float errors, so that no row gets a stray draw.
    reached = np.round(np.cumsum((sampling_weights - counts)[order]), 9)
    # A row gets one more where a point of the grid u, u + 1, u + 2, ... falls on its stretch.
    points = np.ceil(reached - random.random())
    counts[order] += np.diff(points, prepend=0.0).astype(np.int64)
    return random.permutation(np.repeat(np.arange(len(sampling_weights)), counts))
