"""A trained classifier, read from a model artifact and ready to predict."""

import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lesionflow.artifacts.model_folder import LABELS_FILE, model_file, read_labels
from lesionflow.compat.keras_backend import compile_with_xla
from lesionflow.errors import UserError
from lesionflow.models.acceleration.accelerate import accelerate, prepare_for
from lesionflow.models.classifier import CORE
from lesionflow.taxonomy import Taxonomy

if TYPE_CHECKING:
    import keras

AT_ONCE = 32
"""Images that `LoadedModel.predict` classifies at a time, unless told otherwise."""


@dataclass(frozen=True)
class LoadedModel:
    """A trained classifier, ready to predict."""

    taxonomy: Taxonomy
    """What each column of a prediction means."""
    decode_size: int
    """Side in pixels of the squares that images were decoded to when it was trained."""
    model: "keras.Model"
    """RGB, uint8 or float in 0..255, at any size -> probabilities."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The code of each column of a prediction."""
        return self.taxonomy.codes

    def predict(self, pixels: NDArray[np.uint8], batch_size: int = AT_ONCE) -> NDArray[np.float32]:
        """Classify images.

        Args:
            pixels: RGB, shape (n, height, width, 3).
            batch_size: images at a time; a matter of memory and speed only.

        Returns:
            Probabilities, shape (n, classes), columns as in `labels`.
        """
        count = len(pixels)
        if count == 0:
            return np.empty((0, len(self.labels)), np.float32)
        # Batch by batch, as `keras.Model.predict` may wait for tf.data's tuner: see `tensorflow_graph.untuned`. All as
        # large as the first, as TensorFlow would trace the network once more for a last one of another size: seconds.
        size = min(count, batch_size)
        rows = np.resize(np.arange(count), -(-count // size) * size).reshape(-1, size)
        parts = [self._quick.predict_on_batch(pixels[part]) for part in rows]  # pyright: ignore[reportArgumentType]
        return np.concatenate(parts)[:count].astype(np.float32, copy=False)

    @cached_property
    def _quick(self) -> "keras.Model":
        """The model with its core folded, and divided among the cores of the machine."""
        import keras

        if not any(layer.name == CORE for layer in self.model.layers):
            return self.model  # not a network that the finetune step builds
        self.model.trainable = False  # else normalizations that have been trained could not be folded

        def inner(layer: Any) -> Any:
            return accelerate(layer, AT_ONCE, learning=False).layer if layer.name == CORE else layer

        def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            return layer(*args, **({} if layer.name == CORE else kwargs))

        quick: Any = keras.models.clone_model(self.model, clone_function=inner, call_function=call)
        quick.jit_compile = compile_with_xla()
        return quick


def load_model(folder: str | Path) -> LoadedModel:
    """Open a model artifact.

    Args:
        folder: what the finetune step wrote, or a version in the registry.

    Raises:
        UserError: the folder or a file in it is missing, damaged, or not one that lesionflow wrote.
    """
    folder = Path(folder)
    taxonomy, decode_size = read_labels(folder)
    path = model_file(folder)
    prepare_for(AT_ONCE)
    import keras

    try:
        model = keras.models.load_model(path, compile=False)  # safe_mode stays on: no code runs
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"The model {path} cannot be loaded ({reason}); expected one that lesionflow wrote.") from error
    if not isinstance(model, keras.Model) or model.output_shape != (None, len(taxonomy.codes)):
        raise UserError(
            f"The model {path} gives outputs of shape {getattr(model, 'output_shape', None)}; "
            f"expected (None, {len(taxonomy.codes)}), one probability for each of the labels in {LABELS_FILE}."
        )
    return LoadedModel(taxonomy=taxonomy, decode_size=decode_size, model=model)
