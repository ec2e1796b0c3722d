"""The model artifact: a folder with `model.keras`, its labels, its history and how it was trained.

The export step's bundle is such a folder too, with more beside the model: `calibration.json`, and the same
model in the formats of other programs.
"""

import json
import math
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from components.common.backbone import CORE
from components.common.errors import UserError
from components.common.folding import folded
from components.common.keras_backend import compile_with_xla, prepare
from components.common.program import compiled_core, core_shards
from components.common.taxonomy import LABELS

if TYPE_CHECKING:
    import keras

MODEL = "model.keras"
LABELS_FILE = "labels.json"
HISTORY = "history.csv"
TRAINING = "training.json"
TENSORBOARD = "tensorboard"
CALIBRATION = "calibration.json"
SAVED_MODEL = "saved_model"
ONNX = "model.onnx"

AT_ONCE = 32
"""Images that `LoadedModel.predict` classifies at a time, unless told otherwise."""


@dataclass(frozen=True)
class Calibration:
    """How to read a model's probabilities."""

    temperature: float = 1.0
    """Divides the logits; 1 leaves the probabilities as they are."""
    abstain_below: float | None = None
    """The model abstains if its largest calibrated probability is below this; None if it never does."""


@dataclass(frozen=True)
class LoadedModel:
    """A trained classifier, ready to predict."""

    labels: tuple[str, ...]
    """What each column of a prediction means."""
    image_size: int
    """Side in pixels of the squares that images were decoded to when it was trained."""
    model: "keras.Model"
    """RGB, uint8 or float in 0..255, at any size -> probabilities."""

    def predict(self, pixels: NDArray[np.uint8], batch_size: int = AT_ONCE) -> NDArray[np.float32]:
        """Classify images.

        Args:
            pixels: RGB, shape (n, height, width, 3).
            batch_size: images at a time; a matter of memory and speed only.

        Returns:
            Probabilities, shape (n, 7), columns as in `labels`.
        """
        count = len(pixels)
        if count == 0:
            return np.empty((0, len(self.labels)), np.float32)
        # Batch by batch, as `keras.Model.predict` may wait for tf.data's tuner: see `keras_backend.untuned`. All as
        # large as the first, as TensorFlow would trace the network once more for a last one of another size: seconds.
        size = min(count, batch_size)
        rows = np.resize(np.arange(count), -(-count // size) * size).reshape(-1, size)
        parts = [self._quick.predict_on_batch(pixels[part]) for part in rows]  # pyright: ignore[reportArgumentType]
        return np.concatenate(parts)[:count].astype(np.float32, copy=False)

    @cached_property
    def _quick(self) -> "keras.Model":
        """The model with its core folded, and divided among the cores of the machine."""
        import keras

        self.model.trainable = False  # else normalizations that have been trained could not be folded

        def inner(layer: Any) -> Any:
            return compiled_core(folded(layer), core_shards(AT_ONCE), xla=False) if layer.name == CORE else layer

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
    labels, image_size = _read_labels(folder)
    path = model_file(folder)
    prepare(core_shards(AT_ONCE))
    import keras

    try:
        model = keras.models.load_model(path, compile=False)  # safe_mode stays on: no code runs
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"The model {path} cannot be loaded ({reason}); expected one that lesionflow wrote.") from error
    if not isinstance(model, keras.Model) or model.output_shape != (None, len(labels)):
        raise UserError(
            f"The model {path} gives outputs of shape {getattr(model, 'output_shape', None)}; "
            f"expected (None, {len(labels)}), one probability for each of the labels in {LABELS_FILE}."
        )
    return LoadedModel(labels=labels, image_size=image_size, model=model)


def model_file(folder: str | Path) -> Path:
    """The Keras model of a model artifact.

    Raises:
        UserError: there is none, or it is no Keras v3 archive.
    """
    path = Path(folder) / MODEL
    if not path.is_file():
        raise UserError(f"There is no {MODEL} in {folder}; expected a model folder that lesionflow wrote.")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is not a Keras model archive; expected a model folder that lesionflow wrote.")
    return path


def write_labels(folder: Path, image_size: int) -> None:
    """Write the labels file of a model artifact."""
    content = {"labels": LABELS, "image_size": image_size}
    (folder / LABELS_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_training(folder: str | Path) -> dict[str, Any]:
    """How the model was trained: the recipe, seed, weights and versions.

    Raises:
        UserError: the folder does not say.
    """
    return _read_json(Path(folder) / TRAINING)


def read_calibration(folder: str | Path) -> Calibration:
    """How to read the probabilities of a model; as they are, and without abstention, if its folder does not say.

    Raises:
        UserError: what the folder says is not what the export step writes.
    """
    path = Path(folder) / CALIBRATION
    if not path.exists():
        return Calibration()
    content = _read_json(path)
    return checked_calibration(content.get("temperature"), content.get("abstain_below"), str(path))


def checked_calibration(temperature: object, abstain_below: object, where: str) -> Calibration:
    """A calibration of two values read from a file.

    Raises:
        UserError: the temperature is no number above 0, or the threshold neither None nor in 0..1.
    """
    if not _is_number(temperature) or not 0 < temperature < math.inf:
        raise UserError(
            f"{where} has the temperature {temperature!r}; expected a number above 0, as lesionflow writes."
        )
    if abstain_below is not None and not (_is_number(abstain_below) and 0 <= abstain_below <= 1):
        raise UserError(f"{where} has the abstention threshold {abstain_below!r}; expected a number in 0..1, or null.")
    return Calibration(temperature, abstain_below)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _read_labels(folder: Path) -> tuple[tuple[str, ...], int]:
    content = _read_json(folder / LABELS_FILE)
    labels, image_size = content.get("labels"), content.get("image_size")
    if labels != list(LABELS):
        raise UserError(f"The model in {folder} has the labels {labels}; expected {list(LABELS)}.")
    if not isinstance(image_size, int) or image_size < 1:
        raise UserError(
            f"{folder / LABELS_FILE} has image_size {image_size!r}; expected a positive number of pixels, "
            "as lesionflow writes it."
        )
    return LABELS, image_size


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise UserError(
            f"There is no {path.name} in {path.parent}; expected a model folder that lesionflow wrote."
        ) from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); expected it as lesionflow wrote it.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a JSON object; expected it as lesionflow wrote it.")
    return content
