"""The model as others can use it: one bundle, checked against the Keras model before it counts."""

import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lesionflow.artifacts.evaluation import Evaluation
from lesionflow.artifacts.model_folder import (
    CALIBRATION,
    Calibration,
    checked_calibration,
    model_file,
)
from lesionflow.compat.keras_backend import choose_tensorflow
from lesionflow.components.export.export_format import Network, Pictures
from lesionflow.components.export.formats import FORMATS
from lesionflow.components.export.pictures import encoded_pictures
from lesionflow.data.pixels import decode
from lesionflow.errors import UserError
from lesionflow.metrics.calibration import scale
from lesionflow.models.deployable import RESIZING
from lesionflow.models.loaded_model import LoadedModel, load_model
from lesionflow.runtime.files import file_digest, whole_folder, write_json
from lesionflow.runtime.progress import report as tell

if TYPE_CHECKING:
    import keras

TOLERANCE = 1e-4
"""Largest difference of a probability between the exports and the Keras model."""


@dataclass(frozen=True)
class Exported:
    """What the adapter shows in the KFP UI."""

    temperature: float
    reasons: list[str]
    """Why something is missing."""
    largest_differences: dict[str, float]
    """Export -> largest difference of a probability from the Keras model's."""


def export(model: str | Path, evaluation: str | Path, bundle: str | Path) -> Exported:
    """Write a bundle: the model folder, its calibration, and the model in each of `formats`.

    Where TensorFlow or tf2onnx is not installed, the bundle says so and lacks what needs it.

    Args:
        model: the model folder.
        evaluation: the file that evaluate wrote; `calibration.temperature` and `abstention.threshold`
            in it are what the exports apply.
        bundle: folder to write.

    Raises:
        UserError: the evaluation is of another model, or an export does not give the Keras model's answers.
    """
    document = Evaluation.load(evaluation)
    if file_digest(model_file(model)) != document.model_sha256:
        raise UserError(f"{evaluation} is of another model than the one in {model}; pass the two of one run.")
    calibration, reasons = _calibration(document, str(evaluation))
    with whole_folder(bundle) as folder:
        # The model may be a bundle already: what is exported anew must not mix with it.
        shutil.copytree(
            model,
            folder,
            ignore=shutil.ignore_patterns(CALIBRATION, *(each.place for each in FORMATS.values())),
            dirs_exist_ok=True,
        )
        differences, missing = _write_exports(folder, calibration)
        reasons += missing
        write_json(
            folder / CALIBRATION,
            {
                "temperature": calibration.temperature,
                "abstain_below": calibration.abstain_below,
                "reasons": reasons,
                "largest_differences": differences,
            },
        )
    written = ", ".join(differences) or "no export"
    tell("headline", text=f"{written}; temperature {calibration.temperature:.3g}")
    for reason in reasons:
        print(reason, flush=True)
    return Exported(calibration.temperature, reasons, differences)


def _calibration(evaluation: Evaluation, where: str) -> tuple[Calibration, list[str]]:
    """Read what the evaluation says, and tell in words what it does not say."""
    temperature, threshold = evaluation.calibration.temperature, evaluation.abstention.threshold
    reasons: list[str] = []
    if temperature is None:
        reasons.append("The evaluation gives no temperature, so the probabilities are the network's own.")
    if threshold is None:
        reasons.append("The evaluation suggests no threshold, so the model never abstains.")
    return checked_calibration(1.0 if temperature is None else temperature, threshold, where), reasons


def _write_exports(folder: Path, calibration: Calibration) -> tuple[dict[str, float], list[str]]:
    """Write what can be written and compare it: export -> largest difference; and why one is missing."""
    if _absent("tensorflow"):
        names = " and no ".join(each.about for each in FORMATS.values())
        return {}, [f"TensorFlow is not installed here, so there is no {names}."]
    choose_tensorflow()  # the model is the same under every backend
    loaded = load_model(folder)
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UserError("A model can be exported with Keras on TensorFlow only; set KERAS_BACKEND=tensorflow.")
    network = Network(_after_resize(loaded), loaded.decode_size, loaded.labels, calibration)
    encoded = encoded_pictures(network.size)
    pixels = np.stack([decode(picture, network.size) for picture in encoded])
    expected = scale(loaded.predict(pixels), calibration.temperature)
    pictures = Pictures(encoded, pixels.astype(np.float32))
    differences: dict[str, float] = {}
    reasons: list[str] = []
    for each in FORMATS.values():
        if missing := [name for name in each.needs if _absent(name)]:
            reasons.append(f"There is no {each.about}: {', '.join(missing)} is not installed here.")
            continue
        each.write(network, folder / each.place)
        for what, probabilities in each.answers(folder / each.place, pictures).items():
            differences[what] = _difference(what, probabilities, expected)
    return differences, reasons


def _difference(what: str, probabilities: NDArray[Any], expected: NDArray[Any]) -> float:
    """Compare an export's answers with the Keras model's.

    Raises:
        UserError: they differ by more than `TOLERANCE`.
    """
    difference = float(np.abs(probabilities - expected).max())
    if not difference <= TOLERANCE:  # so that NaN is refused too
        raise UserError(
            f"The exported {what} gives probabilities that differ from the Keras model's by up to "
            f"{difference:.2g} (at most {TOLERANCE:g} is accepted); nothing was exported, use the versions "
            "of TensorFlow, Keras, Pillow and tf2onnx that lesionflow's lock names."
        )
    return difference


def _after_resize(loaded: LoadedModel) -> "keras.Model":
    """Make the model from the network's own size on: servers get pixels of that size from the decoder."""
    import keras

    names = [layer.name for layer in loaded.model.layers]
    if RESIZING not in names:
        raise UserError(
            f"The model has no layer {RESIZING!r} (its layers: {', '.join(names)[:200]}); "
            "expected one that lesionflow's finetune step wrote."
        )
    resized = loaded.model.get_layer(RESIZING).output
    return keras.Model(resized, loaded.model.output, name="network")


def _absent(name: str) -> bool:
    return importlib.util.find_spec(name) is None
