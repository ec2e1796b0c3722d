"""What a backbone is: a network that computes features of images, with all that the rest needs to know of it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class PublishedWeights:
    """Weights that Keras' application of a backbone downloads; a test holds them against the application."""

    file: str
    """Name of the file, in Keras' cache too."""
    address: str
    md5: str
    application: str
    """Name of the function in `keras.applications`."""


@dataclass(frozen=True)
class Backbone:
    """A network without its top; a file of `models.backbones` defines one, whose name recipes give."""

    about: str
    """What it is and where it comes from, for the documentation: a phrase."""
    build: Callable[[int], "keras.Model"]
    """Side of the square input in pixels -> the network, with random weights: float RGB in 0..255, shape
    (n, side, side, 3), to features, shape (n, channels). Keras is imported inside."""
    tensors: int
    """How many tensors its weights are."""
    values: int
    """How many values those hold in all."""
    published: PublishedWeights | None = None
    """Weights that were trained on ImageNet, if Keras publishes some."""
    block: re.Pattern[str] = re.compile(r"block\d+[a-z](?=_)")
    """Begins the name of each layer of a block, and is the block's name. Layers before the first block are the stem,
    those after the last one the top; training starts at the boundary of a block, see `classifier.set_trainable`."""
