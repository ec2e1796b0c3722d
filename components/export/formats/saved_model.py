"""The model as a TensorFlow SavedModel that decodes and resizes by itself, see `served_image`."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionflow.artifacts.model_folder import SAVED_MODEL
from lesionflow.components.export.export_format import ExportFormat, Network, Pictures
from lesionflow.components.export.served_image import decode_served

VERSION = "1"
"""TensorFlow Serving wants a folder of versions named by numbers; it is told the folder above."""

BYTES_SIGNATURE = "serving_default"
"""`image_bytes`, strings of shape (n,): JPEG or PNG files, of at most `image_decode.LARGEST_PIXELS`; no others."""
PIXELS_SIGNATURE = "pixels"
"""`pixels`, float32 of shape (n, size, size, 3): RGB in 0..255, decoded and resized."""


def write(network: Network, folder: Path) -> None:
    """Write a SavedModel with both signatures, as version 1 in the folder.

    Each answers `probabilities` (float32, (n, classes), calibrated), `labels` (strings, alike: what the columns mean),
    `predicted` (strings, (n,)) and `abstain` (booleans, (n,)). TensorFlow Serving wants the same n in all of them.
    """
    import tensorflow as tf

    calibrated, size = network.calibrated(), network.size

    def answers(pixels: Any) -> dict[str, Any]:
        probabilities = calibrated(pixels)
        labels = tf.constant(network.labels)
        most = tf.reduce_max(probabilities, axis=1)
        # Not `most < 0`: a probability that is not a number must abstain too.
        sure = most >= (network.calibration.abstain_below or 0.0)
        return {
            "probabilities": probabilities,
            "labels": tf.broadcast_to(labels, tf.shape(probabilities)),
            "predicted": tf.gather(labels, tf.argmax(probabilities, axis=1)),
            "abstain": tf.logical_not(sure),
        }

    def answers_to_bytes(image_bytes: Any) -> dict[str, Any]:
        spec = tf.TensorSpec((size, size, 3), tf.float32)
        decode: Any = partial(decode_served, size=size)
        return answers(tf.map_fn(decode, image_bytes, fn_output_signature=spec))

    module: Any = tf.Module()
    # Not the network itself: of its layers, which nobody loads, TensorFlow would write thousands of nodes.
    module.weights = [weight.value for weight in network.model.weights]
    signatures = {
        BYTES_SIGNATURE: tf.function(
            answers_to_bytes, input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")]
        ),
        PIXELS_SIGNATURE: tf.function(
            answers, input_signature=[tf.TensorSpec((None, size, size, 3), tf.float32, name="pixels")]
        ),
    }
    module.functions = list(signatures.values())
    # A server computes no gradients, and those of each activation take their time to write.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(folder / VERSION), signatures=signatures, options=options)


def ask(folder: Path, questions: Mapping[str, list[bytes] | NDArray[np.float32]]) -> dict[str, dict[str, NDArray[Any]]]:
    """Ask a SavedModel one question to each signature, as a server would load and ask it."""
    import tensorflow as tf

    loaded: Any = tf.saved_model.load(str(folder / VERSION))  # else its variables are freed while its function is asked
    return {
        signature: {name: answer.numpy() for name, answer in loaded.signatures[signature](tf.constant(values)).items()}
        for signature, values in questions.items()
    }


def answers(folder: Path, pictures: Pictures) -> dict[str, NDArray[Any]]:
    """Ask both signatures."""
    said = ask(folder, {PIXELS_SIGNATURE: pictures.pixels, BYTES_SIGNATURE: pictures.encoded})
    return {
        "SavedModel": said[PIXELS_SIGNATURE]["probabilities"],
        "SavedModel with encoded images": said[BYTES_SIGNATURE]["probabilities"],
    }


FORMAT = ExportFormat("SavedModel", SAVED_MODEL, needs=(), write=write, answers=answers)
