"""What a balance strategy is: how much each class counts in training, a pure function of the class counts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.integer[Any]]
"""Images of each class, all above 0, shape (classes,)."""
PerClass = NDArray[np.floating[Any]]
"""Shape (classes,)."""


@dataclass(frozen=True)
class BalanceStrategy:
    """One correction for classes of unequal size; a file of `data.balancing` defines one.

    Made by `by_draws` or `by_loss`, so it never corrects both ways: a sampler and class weights together correct
    twice, which is worse than not at all.
    """

    name: str
    """What recipes call it."""
    about: str
    """What it does, for the step's page: sentences."""
    rows: Callable[[Counts], tuple[PerClass, PerClass]]
    """Counts -> the loss weight and the sampling weight of each row of a class."""


def by_draws(name: str, about: str, shares: Callable[[Counts], PerClass]) -> BalanceStrategy:
    """Make a strategy that draws some classes more often, in an epoch as long as before.

    Args:
        name: what recipes call it.
        about: what it does: a sentence.
        shares: counts -> what the classes' shares of an epoch are proportional to.
    """

    def rows(counts: Counts) -> tuple[PerClass, PerClass]:
        wanted = shares(counts)
        return np.ones(len(counts)), counts.sum() * wanted / wanted.sum() / counts

    after = "After: how often images of a class are drawn in one epoch, which is as long as before."
    return BalanceStrategy(name, f"{about} {after}", rows)


def by_loss(name: str, about: str, weights: Callable[[Counts], PerClass]) -> BalanceStrategy:
    """Make a strategy that weighs some classes more in the loss, with a mean of 1 over rows.

    Args:
        name: what recipes call it.
        about: what it does: a sentence.
        weights: counts -> what the weight of each row of a class is proportional to. They are scaled to a mean of 1,
            so that the learning rate means what it did.
    """

    def rows(counts: Counts) -> tuple[PerClass, PerClass]:
        wanted = weights(counts)
        return wanted * counts.sum() / (wanted * counts).sum(), np.ones(len(counts))

    after = "After: the weight of a class's images in the loss, counted in images; each image is seen once an epoch."
    return BalanceStrategy(name, f"{about} {after}", rows)
