"""How much each class counts in training: five answers, each a pure function of the class counts."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.integer[Any]]
PerClass = NDArray[np.floating[Any]]

BETA = 0.999
"""Of `effective_number`; Cui et al.'s choice for their large data sets.

It says that about 1 / (1 - BETA) = 1,000 images of a class are all there is to see of it. With their
other value, 0.9999, classes of some thousand images would not reach saturation, and the weights
would be those of `class_weight`.
"""


def none(counts: Counts) -> tuple[PerClass, PerClass]:
    """Every image counts once."""
    return np.ones(len(counts)), np.ones(len(counts))


def oversample(counts: Counts) -> tuple[PerClass, PerClass]:
    """Every class is drawn equally often."""
    return np.ones(len(counts)), _draws(counts, np.ones(len(counts)))


def sqrt(counts: Counts) -> tuple[PerClass, PerClass]:
    """A class is drawn in proportion to the square root of its size (Mahajan et al. 2018, arXiv 1805.00932)."""
    return np.ones(len(counts)), _draws(counts, np.sqrt(counts))


def effective_number(counts: Counts) -> tuple[PerClass, PerClass]:
    """The loss is weighted by (1 - BETA) / (1 - BETA ** n) (Cui et al. 2019, arXiv 1901.05555, equation 4)."""
    return _weights(counts, (1 - BETA) / (1 - BETA**counts)), np.ones(len(counts))


def class_weight(counts: Counts) -> tuple[PerClass, PerClass]:
    """The loss is weighted by 1 / n, so that every class has the same share of it."""
    return _weights(counts, 1 / counts), np.ones(len(counts))


STRATEGIES: dict[str, Callable[[Counts], tuple[PerClass, PerClass]]] = {
    "none": none,
    "oversample": oversample,
    "sqrt": sqrt,
    "effective-number": effective_number,
    "class-weight": class_weight,
}
"""Strategy -> from the images of each class (all above 0) to its rows' loss weight and sampling weight.

Exactly one of the two differs from 1: a sampler and class weights together correct twice, which is
worse than not at all.
"""


def _draws(counts: Counts, shares: PerClass) -> PerClass:
    """Draws per row that give classes these shares of an epoch as long as before."""
    return counts.sum() * shares / shares.sum() / counts


def _weights(counts: Counts, weights: PerClass) -> PerClass:
    """Scale weights per row to a mean of 1 over rows, so that the learning rate means what it did."""
    return weights * counts.sum() / (weights * counts).sum()
