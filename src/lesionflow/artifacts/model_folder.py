"""The model artifact: a folder with `model.keras`, its labels, its history and how it was trained.

The export step's bundle is such a folder too, with more beside the model: `calibration.json`, and the same
model in the formats of other programs.
"""

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from lesionflow.errors import UserError
from lesionflow.runtime.files import read_json, write_json
from lesionflow.taxonomy import Taxonomy, check_taxonomy

MODEL = "model.keras"
LABELS_FILE = "labels.json"
HISTORY = "history.csv"
TRAINING = "training.json"
TENSORBOARD = "tensorboard"
CALIBRATION = "calibration.json"
SAVED_MODEL = "saved_model"
ONNX = "model.onnx"

_FOLDER = "a model folder that lesionflow wrote"


@dataclass(frozen=True)
class Calibration:
    """How to read a model's probabilities."""

    temperature: float = 1.0
    """Divides the logits; 1 leaves the probabilities as they are."""
    abstain_below: float | None = None
    """The model abstains if its largest calibrated probability is below this; None if it never does."""


def model_file(folder: str | Path) -> Path:
    """The Keras model of a model artifact.

    Raises:
        UserError: there is none, or it is no Keras v3 archive.
    """
    path = Path(folder) / MODEL
    if not path.is_file():
        raise UserError(f"There is no {MODEL} in {folder}; expected {_FOLDER}.")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is not a Keras model archive; expected {_FOLDER}.")
    return path


def write_labels(folder: Path, decode_size: int, taxonomy: Taxonomy) -> None:
    """Write the labels file: what the outputs mean, in order, for any program; and all that the taxonomy says."""
    content = {"labels": taxonomy.codes, "decode_size": decode_size, "taxonomy": taxonomy.model_dump(mode="json")}
    write_json(folder / LABELS_FILE, content)


def read_labels(folder: str | Path) -> tuple[Taxonomy, int]:
    """What a model's outputs mean, in their order, and the side in pixels of the squares that it was trained on.

    Raises:
        UserError: the folder does not say, or says what no model of lesionflow has.
    """
    folder = Path(folder)
    content = read_json(folder / LABELS_FILE, _FOLDER)
    labels, decode_size = content.get("labels"), content.get("decode_size")
    taxonomy = check_taxonomy(content.get("taxonomy"), str(folder / LABELS_FILE))
    if labels != list(taxonomy.codes):
        raise UserError(
            f"The model in {folder} has the labels {labels}; expected those of its taxonomy, {list(taxonomy.codes)}."
        )
    if not isinstance(decode_size, int) or decode_size < 1:
        raise UserError(
            f"{folder / LABELS_FILE} has decode_size {decode_size!r}; expected a positive number of pixels, "
            "as lesionflow writes it."
        )
    return taxonomy, decode_size


def read_calibration(folder: str | Path) -> Calibration:
    """How to read the probabilities of a model; as they are, and without abstention, if its folder does not say.

    Raises:
        UserError: what the folder says is not what the export step writes.
    """
    path = Path(folder) / CALIBRATION
    if not path.exists():
        return Calibration()
    content = read_json(path, _FOLDER)
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
