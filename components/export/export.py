"""The model as others can use it: one bundle, checked against the Keras model before it counts."""

import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lesionflow.artifacts.evaluation import read_evaluation
from lesionflow.artifacts.model_folder import (
    CALIBRATION,
    ONNX,
    SAVED_MODEL,
    Calibration,
    checked_calibration,
    model_file,
)
from lesionflow.components.export import onnx_model, saved_model
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
SERVED = Path(SAVED_MODEL, "1")
"""TensorFlow Serving wants a folder of versions named by numbers; it is told the folder above."""


@dataclass(frozen=True)
class Exported:
    """What the adapter shows in the KFP UI."""

    facts: dict[str, Any]


def export(model: str | Path, evaluation: str | Path, bundle: str | Path) -> Exported:
    """Write a bundle: the model folder, its calibration, and the model as a SavedModel and as ONNX.

    Where TensorFlow or tf2onnx is not installed, the bundle says so and lacks what needs it.

    Args:
        model: the model folder.
        evaluation: the file that evaluate wrote; `calibration.temperature` and `abstention.threshold`
            in it are what the exports apply.
        bundle: folder to write.

    Raises:
        UserError: the evaluation is of another model, or an export does not give the Keras model's answers.
    """
    document = read_evaluation(evaluation)
    if file_digest(model_file(model)) != document.get("model_sha256"):
        raise UserError(f"{evaluation} judges another model than the one in {model}; pass the two of one run.")
    calibration, reasons = _calibration(document, str(evaluation))
    with whole_folder(bundle) as folder:
        # The model may be a bundle already: what is exported anew must not mix with it.
        shutil.copytree(
            model, folder, ignore=shutil.ignore_patterns(CALIBRATION, SAVED_MODEL, ONNX), dirs_exist_ok=True
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
    return Exported({"temperature": calibration.temperature, "reasons": reasons, "largest_differences": differences})


def _calibration(document: dict[str, Any], where: str) -> tuple[Calibration, list[str]]:
    """What the evaluation says, and in words what it does not say."""
    temperature = _metric(document, "calibration", "temperature")
    threshold = _metric(document, "abstention", "threshold")
    reasons: list[str] = []
    if temperature is None:
        reasons.append("The evaluation gives no temperature, so the probabilities are the network's own.")
    if threshold is None:
        reasons.append("The evaluation suggests no threshold, so the model never abstains.")
    return checked_calibration(1.0 if temperature is None else temperature, threshold, where), reasons


def _metric(document: dict[str, Any], section: str, name: str) -> object:
    content = document.get(section)
    return content.get(name) if isinstance(content, dict) else None


def _write_exports(folder: Path, calibration: Calibration) -> tuple[dict[str, float], list[str]]:
    """Write what can be written and compare it: export -> largest difference; and why one is missing."""
    if _absent("tensorflow"):
        return {}, ["TensorFlow is not installed here, so there is no SavedModel and no ONNX file."]
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "tensorflow"  # the model is the same under every backend
    loaded = load_model(folder)
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UserError("A model can be exported with Keras on TensorFlow only; set KERAS_BACKEND=tensorflow.")
    network = _after_resize(loaded)
    size = loaded.decode_size
    encoded = encoded_pictures(size)
    pixels = np.stack([decode(picture, size) for picture in encoded])
    expected = scale(loaded.predict(pixels), calibration.temperature)
    differences: dict[str, float] = {}

    def compare(what: str, probabilities: Any) -> None:
        differences[what] = float(np.abs(probabilities - expected).max())
        if not differences[what] <= TOLERANCE:  # so that NaN is refused too
            raise UserError(
                f"The exported {what} gives probabilities that differ from the Keras model's by up to "
                f"{differences[what]:.2g} (at most {TOLERANCE:g} is accepted); nothing was exported, use the versions "
                "of TensorFlow, Keras, Pillow and tf2onnx that lesionflow's lock names."
            )

    floats = pixels.astype(np.float32)
    saved_model.write_saved_model(network, size, calibration, loaded.labels, folder / SERVED)
    questions = {saved_model.PIXELS_SIGNATURE: floats, saved_model.BYTES_SIGNATURE: encoded}
    answers = saved_model.ask(folder / SERVED, questions)
    compare("SavedModel", answers[saved_model.PIXELS_SIGNATURE]["probabilities"])
    compare("SavedModel with encoded images", answers[saved_model.BYTES_SIGNATURE]["probabilities"])
    if missing := [name for name in ("tf2onnx", "onnx", "onnxruntime") if _absent(name)]:
        return differences, [f"There is no ONNX file: {', '.join(missing)} is not installed here."]
    onnx_model.write_onnx(network, size, calibration, folder / ONNX)
    compare("ONNX", onnx_model.ask(folder / ONNX, floats))
    return differences, []


def _after_resize(loaded: LoadedModel) -> "keras.Model":
    """The model from the network's own size on: servers get pixels of that size from the decoder."""
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
