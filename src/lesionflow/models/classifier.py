"""The classifier: a backbone, a dropout and a softmax over the diagnoses.

core        (n, size, size, 3) RGB in 0..255 -> (n, classes) probabilities; what training sees
deployable  (n, any, any, 3) -> resize -> core; what `model.keras` holds, see `models.deployable`
"""

from itertools import groupby
from typing import TYPE_CHECKING

from lesionflow.compat.keras_backend import prepare
from lesionflow.models.backbones import BACKBONES

if TYPE_CHECKING:
    import keras

CORE = "classifier"
"""Name of the core inside the deployable model."""


def build_core(backbone: str, input_size: int, dropout: float, classes: int) -> "keras.Model":
    """Build an untrained classifier with randomly initialised weights (from Keras' global seed).

    Args:
        backbone: which network computes the features: a name in `BACKBONES`.
        input_size: side of the square input in pixels.
        dropout: share of the features dropped in training.
        classes: how many there are.

    Returns:
        A model of float RGB in 0..255, shape (n, input_size, input_size, 3), to float32
        probabilities, shape (n, classes).
    """
    prepare()
    import keras

    inputs = keras.Input((input_size, input_size, 3), name="pixels")
    features = BACKBONES[backbone].build(input_size)(inputs)
    features = keras.layers.Dropout(dropout, name="dropout")(features)
    # float32 even under mixed precision: a float16 softmax loses small probabilities.
    outputs = keras.layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities")(features)
    return keras.Model(inputs, outputs, name=CORE)


def backbone_of(core: "keras.Model") -> "keras.Model":
    """The backbone inside a core."""
    return core.layers[1]


def blocks(core: "keras.Model", backbone: str) -> list[tuple[str, list["keras.layers.Layer"]]]:
    """The backbone's layers in whole blocks, from input to output: stem, block1a, ..., top.

    Args:
        core: from `build_core`.
        backbone: its name, as `build_core` got it.
    """
    stage = "stem"

    def block_of(layer: "keras.layers.Layer") -> str:
        nonlocal stage
        if match := BACKBONES[backbone].block.match(layer.name):
            stage = match[0]
        elif stage != "stem":
            stage = "top"
        return stage

    return [(name, list(members)) for name, members in groupby(backbone_of(core).layers, block_of)]


def set_trainable(core: "keras.Model", backbone: str, share: float, pretrained: bool) -> str:
    """Choose which layers train. The classifier's last layer always does.

    Args:
        core: from `build_core`.
        backbone: its name, as `build_core` got it.
        share: of the backbone's layers, counted from its end; snapped to the nearest boundary between
            blocks, because training part of a block undoes what the rest of it has learned.
        pretrained: True keeps all BatchNormalization frozen, which in Keras is inference mode too.
            False trains everything whatever the share: a head on a frozen random backbone learns
            next to nothing.

    Returns:
        The first block that trains, or "head" if only the classifier's last layer does.
    """
    import keras

    parts = blocks(core, backbone)
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
