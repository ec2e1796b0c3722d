"""The model as a TensorFlow SavedModel that decodes and resizes by itself: the one module here that imports TensorFlow.

Its pixels are those of `components.common.pixels.decode`, bit for bit: Pillow and TensorFlow share libjpeg-turbo, and
Pillow's bilinear resize is computed here as Pillow does, in fixed-point numbers. `tf.image.resize` with antialiasing
rounds otherwise; with it the probabilities of real images moved by up to 0.12, and by up to 0.27 without the
decoder's own halving.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.common.model_folder import Calibration
from components.common.taxonomy import LABELS

if TYPE_CHECKING:
    import keras

BYTES_SIGNATURE = "serving_default"
"""`image_bytes`, strings of shape (n,): JPEG or PNG files."""
PIXELS_SIGNATURE = "pixels"
"""`pixels`, float32 of shape (n, size, size, 3): RGB in 0..255, decoded and resized."""

_FRACTION = 22  # bits after the point of Pillow's weights (PRECISION_BITS in its Resample.c)
_LEAST = 1e-12  # of a probability, as in components/evaluate/calibration.py


def write_saved_model(network: "keras.Model", size: int, calibration: Calibration, folder: Path) -> None:
    """Write a SavedModel with both signatures.

    Each answers `probabilities` (float32, (n, 7), calibrated), `labels` (strings, (n, 7): what the columns mean),
    `predicted` (strings, (n,)) and `abstain` (booleans, (n,)). TensorFlow Serving wants the same n in all of them.

    Args:
        network: RGB in 0..255 at its own size, (n, size, size, 3) -> probabilities (n, 7).
        size: in pixels.
        calibration: of its probabilities.
        folder: to write.
    """
    import tensorflow as tf

    calibrated = calibrated_function(network, size, calibration)

    def answers(pixels: Any) -> dict[str, Any]:
        probabilities = calibrated(pixels)
        labels = tf.constant(LABELS)
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
        decode: Any = partial(_decode, size=size)
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
    """A TensorFlow function of `pixels`, float32 (n, size, size, 3), to calibrated `probabilities`, float32 (n, 7)."""
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


def _decode(encoded: Any, size: int) -> Any:
    """One encoded image to RGB in 0..255, float32 (size, size, 3)."""
    import tensorflow as tf

    def jpeg() -> Any:
        shape = tf.image.extract_jpeg_shape(encoded)
        halvings = tf.reduce_min(shape[:2]) // size  # Pillow's draft mode: by 2, 4 or 8, not below `size`
        # INTEGER_ACCURATE is Pillow's; TensorFlow's default is a faster and coarser one.
        decode: Any = partial(tf.io.decode_jpeg, encoded, channels=3, dct_method="INTEGER_ACCURATE")
        branches: list[Any] = [partial(decode, ratio=ratio) for ratio in (1, 2, 4, 8)]
        return tf.switch_case(sum(tf.cast(halvings >= ratio, tf.int32) for ratio in (2, 4, 8)), branches)

    def other() -> Any:
        return tf.io.decode_image(encoded, channels=3, expand_animations=False)

    pixels = tf.cast(tf.cond(tf.io.is_jpeg(encoded), jpeg, other), tf.float64)
    shape = tf.shape(pixels)
    height, width = shape[0], shape[1]

    def across(rows: Any) -> Any:
        return _rounded(tf.einsum("hwc,ws->hsc", rows, _weights(width, size)))

    def down(columns: Any) -> Any:
        return _rounded(tf.einsum("hwc,hs->swc", columns, _weights(height, size)))

    # The order matters for the rounding in between. Pillow 13 begins with the height where it shrinks more than
    # twice as much as the width (python-pillow/Pillow#9549).
    tall = (height > size) & (height - size > 2 * (width - size))

    def height_first() -> Any:
        return across(down(pixels))

    def width_first() -> Any:
        return down(across(pixels))

    resized = tf.cond(tall, height_first, width_first)
    return tf.cast(tf.ensure_shape(resized, (size, size, 3)), tf.float32)


def _weights(length: Any, size: int) -> Any:
    """Pillow's bilinear weights, (length, size), as whole numbers: 2 ** 22 times the share of each source pixel.

    Whole numbers of this size add up without an error in float64. After Pillow's `precompute_coeffs` and
    `normalize_coeffs_8bpc` (Resample.c).
    """
    import tensorflow as tf

    scale = tf.cast(length, tf.float64) / size
    reach = tf.maximum(scale, 1.0)
    centre = (tf.range(size, dtype=tf.float64) + 0.5) * scale
    place = tf.cast(tf.range(length)[:, tf.newaxis], tf.float64)
    inside = (place >= tf.floor(centre - reach + 0.5)) & (place < tf.floor(centre + reach + 0.5))
    weights = tf.where(inside, tf.maximum(1 - tf.abs((place - centre + 0.5) / reach), 0.0), 0.0)
    return tf.floor(weights / tf.reduce_sum(weights, axis=0) * 2.0**_FRACTION + 0.5)


def _rounded(sums: Any) -> Any:
    """Back from fixed point to 0..255; Pillow rounds so after each of the two passes."""
    import tensorflow as tf

    return tf.clip_by_value(tf.floor(sums / 2.0**_FRACTION + 0.5), 0.0, 255.0)
