"""What an export format is: how to write a network for other programs, and to ask what they would answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lesionflow.artifacts.model_folder import Calibration

if TYPE_CHECKING:
    import keras

_LEAST = 1e-12  # of a probability, as in src/lesionflow/metrics/calibration.py


@dataclass(frozen=True)
class Network:
    """What is exported."""

    model: "keras.Model"
    """RGB in 0..255 at its own size, (n, size, size, 3) -> probabilities (n, classes)."""
    size: int
    """In pixels."""
    labels: tuple[str, ...]
    """What the probabilities are of."""
    calibration: Calibration
    """How the probabilities are to be read."""

    def calibrated(self) -> Any:
        """Make a TensorFlow function of `pixels`, float32 (n, size, size, 3), to calibrated `probabilities`."""
        import tensorflow as tf

        def calibrated(pixels: Any) -> Any:
            probabilities = self.model(pixels, training=False)
            logits = tf.math.log(tf.maximum(probabilities, _LEAST)) / self.calibration.temperature
            return tf.nn.softmax(logits, name="probabilities")

        pixels = tf.TensorSpec((None, self.size, self.size, 3), tf.float32, name="pixels")
        return tf.function(calibrated, input_signature=[pixels])


@dataclass(frozen=True)
class Pictures:
    """What every export is asked, to be compared with the Keras model."""

    encoded: list[bytes]
    """JPEG and PNG files."""
    pixels: NDArray[np.float32]
    """The same decoded at the network's size: RGB in 0..255, (n, size, size, 3)."""


@dataclass(frozen=True)
class ExportFormat:
    """A format of other programs; a file of `formats` defines one."""

    about: str
    """What users call it."""
    place: str
    """File or folder that it writes in a bundle."""
    needs: tuple[str, ...]
    """Packages beside TensorFlow without which it cannot be written."""
    write: Callable[[Network, Path], None]
    """Writes the network at a path, which is `place` in the bundle."""
    answers: Callable[[Path, Pictures], Mapping[str, NDArray[Any]]]
    """Asks what is at that path as another program would: way of asking -> calibrated probabilities, (n, classes)."""
