"""The model as a TensorFlow SavedModel that decodes and resizes by itself, see `served_image`."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lesionflow.artifacts.model_folder import Calibration
from lesionflow.components.export.served_image import decode_served

if TYPE_CHECKING:
    import keras

BYTES_SIGNATURE = "serving_default"
"""`image_bytes`, strings of shape (n,): JPEG or PNG files, of at most `image_decode.LARGEST_PIXELS`; no others."""
PIXELS_SIGNATURE = "pixels"
"""`pixels`, float32 of shape (n, size, size, 3): RGB in 0..255, decoded and resized."""

_LEAST = 1e-12  # of a probability, as in src/lesionflow/metrics/calibration.py


def write_saved_model(
    network: "keras.Model", size: int, calibration: Calibration, codes: Sequence[str], folder: Path
) -> None:
    """Write a SavedModel with both signatures.

    Each answers `probabilities` (float32, (n, classes), calibrated), `labels` (strings, (n, classes): what the columns
    mean), `predicted` (strings, (n,)) and `abstain` (booleans, (n,)). TensorFlow Serving wants one n in all of them.

    Args:
        network: RGB in 0..255 at its own size, (n, size, size, 3) -> probabilities (n, classes).
        size: in pixels.
        calibration: of its probabilities.
        codes: of the classes, in their order.
        folder: to write.
    """
    import tensorflow as tf

    calibrated = calibrated_function(network, size, calibration)

    def answers(pixels: Any) -> dict[str, Any]:
        probabilities = calibrated(pixels)
        labels = tf.constant(codes)
        most = tf.reduce_max(probabilities, axis=1)
        # Not `most < 0`: a probability that is not a number must abstain too.
        sure = most >= (calibration.abstain_below or 0.0)
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
    module.weights = [weight.value for weight in network.weights]
    signatures = {
        BYTES_SIGNATURE: tf.function(
            answers_to_bytes, input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")]
        ),
        PIXELS_SIGNATURE: tf.function(
            answers, input_signature=[tf.TensorSpec((None, size, size, 3), tf.float32, name="pixels")]
        ),
    }
    module.functions = list(signatures.values())
    # A server computes no gradients; to write those of each activation took a third of the export.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(folder), signatures=signatures, options=options)


def calibrated_function(network: "keras.Model", size: int, calibration: Calibration) -> Any:
    """A TensorFlow function of `pixels`, float32 (n, size, size, 3), to calibrated `probabilities`, (n, classes)."""
    import tensorflow as tf

    def calibrated(pixels: Any) -> Any:
        probabilities = network(pixels, training=False)
        logits = tf.math.log(tf.maximum(probabilities, _LEAST)) / calibration.temperature
        return tf.nn.softmax(logits, name="probabilities")

    return tf.function(calibrated, input_signature=[tf.TensorSpec((None, size, size, 3), tf.float32, name="pixels")])


def frozen(function: Any) -> tuple[Any, str, str]:
    """A TensorFlow function as one graph with its weights in it: the graph, its input's and its output's name."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    found: Any = convert_variables_to_constants_v2(function.get_concrete_function())
    return found.graph.as_graph_def(), found.inputs[0].name, found.outputs[0].name


def ask(folder: Path, questions: Mapping[str, list[bytes] | NDArray[np.float32]]) -> dict[str, dict[str, NDArray[Any]]]:
    """What a SavedModel answers to one question to each signature, as a server would load and ask it."""
    import tensorflow as tf

    loaded: Any = tf.saved_model.load(str(folder))  # else its variables are freed while its function is asked
    return {
        signature: {name: answer.numpy() for name, answer in loaded.signatures[signature](tf.constant(values)).items()}
        for signature, values in questions.items()
    }
