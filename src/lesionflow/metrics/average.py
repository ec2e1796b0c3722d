"""What an average over the classes is: the type of the files in `averages/`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """What was answered to some images, class by class: arrays of shape (classes,)."""

    labels: NDArray[np.integer[Any]]
    """True class indices, shape (n,), n >= 1."""
    predicted: NDArray[np.integer[Any]]
    """Likewise, none of them -1."""
    support: NDArray[np.integer[Any]]
    """Images of the class."""
    precision: Floats
    recall: Floats
    f1: Floats
    """0 where a class has no image or was never predicted."""
    aucs: Sequence[float]
    """One-vs-rest, of the classes that have images and a rest."""


@dataclass(frozen=True)
class Resamples:
    """The same for many weightings of the images at once: arrays of shape (resamples, classes)."""

    support: Floats
    claimed: Floats
    """Images that were taken for the class."""
    hits: Floats
    """Those of them that are of it."""
    precision: Floats
    recall: Floats
    f1: Floats
    """NaN where a resample lacks the class."""
    aucs: Sequence[Floats]
    """Of each class, shape (resamples,); empty where only the predicted classes are known."""


@dataclass(frozen=True)
class HubMetric:
    """How model hubs call a metric."""

    type: str
    arguments: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class AverageDefinition:
    """A metric in 0..1 of all classes together; more is better.

    It is shown, given an interval, compared between models and offered to the gate by being there.
    """

    name: str
    """In files and policies."""
    title: str
    """For people."""
    place: int
    """Where it stands among the others, the lowest first."""
    macro: bool
    """Whether all classes count alike. It is then undefined if one has no image."""
    value: Callable[[Answers], float]
    resampled: Callable[[Resamples], Floats]
    """Its value in each resample, shape (resamples,); NaN where it is undefined."""
    ranking: bool = False
    """Whether it needs `aucs`, so more than the predicted classes."""
    hub: HubMetric | None = None
    """In the metadata of model cards; None if hubs do not know it."""
