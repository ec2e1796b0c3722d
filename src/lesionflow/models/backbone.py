"""The classifier: a backbone, a dropout and a softmax over the seven diagnoses.

core        (n, size, size, 3) RGB in 0..255 -> (n, 7) probabilities; what training sees
deployable  (n, any, any, 3) -> resize -> core; what `model.keras` holds
"""

import re
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lesionflow.compat.keras_backend import prepare
from lesionflow.errors import UserError
from lesionflow.recipe import BackboneName
from lesionflow.taxonomy import LABELS

if TYPE_CHECKING:
    import keras

CORE = "classifier"
"""Name of the core inside the deployable model."""

BLOCK = re.compile(r"block\d+[a-z](?=_)")


def build_core(backbone: BackboneName, input_size: int, dropout: float) -> "keras.Model":
    """An untrained classifier with randomly initialised weights (from Keras' global seed).

    Args:
        backbone: which network computes the features.
        input_size: side of the square input in pixels.
        dropout: share of the features dropped in training.

    Returns:
        A model of float RGB in 0..255, shape (n, input_size, input_size, 3), to float32
        probabilities in the order of `taxonomy.LABELS`, shape (n, 7).
    """
    prepare()
    import keras

    inputs = keras.Input((input_size, input_size, 3), name="pixels")
    features = _BACKBONES[backbone](input_size)(inputs)
    features = keras.layers.Dropout(dropout, name="dropout")(features)
    # float32 even under mixed precision: a float16 softmax loses small probabilities.
    outputs = keras.layers.Dense(len(LABELS), activation="softmax", dtype="float32", name="probabilities")(features)
    return keras.Model(inputs, outputs, name=CORE)


def fit_to_input(images: Any, size: int) -> Any:
    """Whole images or windows, (n, side, side, 3), as large as the network input, (n, size, size, 3).

    Not by a Resizing layer: a second one in a model is what TensorFlow cannot write into a SavedModel, for a variable
    that it does not track. And not antialiased, which is no ONNX operation. Nor are the crops of the training.
    """
    import keras

    if images.shape[1] == size:
        return images
    return keras.ops.image.resize(images, (size, size), data_format="channels_last")


CORNER = 0.8
"""Side of a window at a corner, as a share of the image's: of 0.67, 0.8 and both, the best on validation images."""


def deployable(core: "keras.Model", decode_size: int, test_time_augmentation: int = 1) -> "keras.Model":
    """The model that users get: RGB, uint8 or float in 0..255, at any size; it resizes by itself.

    Shares its weights with `core`.

    Args:
        core: from `build_core`.
        decode_size: side in pixels of the square to which it resizes first, as decoding did for the training.
        test_time_augmentation: average the probabilities over so many views of the image, see the recipe;
            a lesion has no upright.
    """
    import keras

    inputs = keras.Input((None, None, 3), name="image")
    # Antialiased as Pillow's resize is, which made the pixels that the core was trained on.
    resizing: Any = keras.layers.Resizing(decode_size, decode_size, antialias=True, name="frame")
    # Else its own default, training=True, holds for all layers after it where the model is called without the argument.
    frame: Any = resizing(inputs, training=False)
    size = core.input_shape[1]
    whole = fit_to_input(frame, size)
    if test_time_augmentation == 1:
        return keras.Model(inputs, core(whole), name="lesionflow")
    mirrors = (1, 2, (1, 2))
    seen = [whole, *(keras.ops.flip(whole, axes) for axes in mirrors)]
    if test_time_augmentation == 8:
        first = decode_size - round(CORNER * decode_size)
        near, far = slice(decode_size - first), slice(first, decode_size)
        corners = [frame[:, y, x] for y in (near, far) for x in (near, far)]
        windows = [fit_to_input(corner, size) for corner in corners]
        seen += [windows[0], *(keras.ops.flip(w, axes) for w, axes in zip(windows[1:], mirrors, strict=True))]
    # As one batch: called for each view, the core would stand in the exported graphs as many times.
    each: Any = core(keras.ops.concatenate(seen, axis=0))
    mean = keras.ops.mean(keras.ops.reshape(each, (test_time_augmentation, -1, len(LABELS))), axis=0)
    return keras.Model(inputs, mean, name="lesionflow")


def load_backbone_weights(core: "keras.Model", path: Path) -> None:
    """Load starting weights into the core's backbone.

    Args:
        core: from `build_core`.
        path: a `.weights.h5` (or older Keras' `.h5`) file of the backbone without its top.

    Raises:
        UserError: the file is missing, unreadable, or of another network.
    """
    if not path.is_file():
        raise UserError(f"There are no starting weights at {path}; expected a .weights.h5 file, 'imagenet' or 'none'.")
    try:
        with complete_loading():
            backbone_of(core).load_weights(path)
    except (OSError, ValueError, KeyError, AttributeError, UserWarning) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"The starting weights {path} do not fit the backbone ({reason}); expected a .weights.h5 file "
            "written for the same network without its top."
        ) from error


@contextmanager
def complete_loading() -> Generator[None]:
    """Let Keras raise UserWarning where it would only warn that layers keep their random weights."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*(Skipping|could not be loaded|not found)", category=UserWarning)
        yield


def backbone_of(core: "keras.Model") -> "keras.Model":
    """The backbone inside a core."""
    return core.layers[1]


def blocks(core: "keras.Model") -> list[tuple[str, list["keras.layers.Layer"]]]:
    """The backbone's layers in whole blocks, from input to output: stem, block1a, ..., top."""
    stage = "stem"

    def block_of(layer: "keras.layers.Layer") -> str:
        nonlocal stage
        if match := BLOCK.match(layer.name):
            stage = match[0]
        elif stage != "stem":
            stage = "top"
        return stage

    return [(name, list(members)) for name, members in groupby(backbone_of(core).layers, block_of)]


def set_trainable(core: "keras.Model", share: float, pretrained: bool) -> str:
    """Choose which layers train. The classifier's last layer always does.

    Args:
        core: from `build_core`.
        share: of the backbone's layers, counted from its end; snapped to the nearest boundary between
            blocks, because training part of a block undoes what the rest of it has learned.
        pretrained: True keeps all BatchNormalization frozen, which in Keras is inference mode too.
            False trains everything whatever the share: a head on a frozen random backbone learns
            next to nothing.

    Returns:
        The first block that trains, or "head" if only the classifier's last layer does.
    """
    import keras

    parts = blocks(core)
    if not pretrained:
        share = 1.0
    total = sum(len(members) for _, members in parts)
    frozen = round(total * (1 - share), 6)
    starts = [0]
    for _, members in parts:
        starts.append(starts[-1] + len(members))
    cut = min(range(len(starts)), key=lambda index: abs(starts[index] - frozen))
    for index, (_, members) in enumerate(parts):
        for layer in members:
            frozen_norm = pretrained and isinstance(layer, keras.layers.BatchNormalization)
            layer.trainable = index >= cut and not frozen_norm
    return parts[cut][0] if cut < len(parts) else "head"


def _efficientnetv2b0(input_size: int) -> "keras.Model":
    import keras

    return keras.applications.EfficientNetV2B0(
        include_top=False,
        weights=None,  # pyright: ignore[reportArgumentType]
        input_shape=(input_size, input_size, 3),
        pooling="avg",
        include_preprocessing=True,
    )


def _tiny(input_size: int) -> "keras.Model":
    """Three convolutions, in blocks named like a real backbone's: for tests, traces in a second."""
    import keras
    from keras import layers

    inputs = keras.Input((input_size, input_size, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1, name="rescaling")(inputs)
    for block, width in (("stem", 8), ("block1a", 16), ("block2a", 32)):
        if block != "stem":
            x = layers.MaxPooling2D(name=f"{block}_pool")(x)
        strides = 2 if block == "stem" else 1
        x = layers.Conv2D(width, 3, strides=strides, padding="same", use_bias=False, name=f"{block}_conv")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"{block}_bn")(x)
        x = layers.Activation("relu", name=f"{block}_activation")(x)
    outputs = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.Model(inputs, outputs, name="tiny")


_BACKBONES: dict[BackboneName, Callable[[int], "keras.Model"]] = {
    "efficientnetv2b0": _efficientnetv2b0,
    "tiny": _tiny,
}
