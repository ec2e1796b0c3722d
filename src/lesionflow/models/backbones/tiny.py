"""Three convolutions, in blocks named like a real backbone's: for tests, traces in a second."""

from typing import TYPE_CHECKING

from lesionflow.models.backbone import Backbone

if TYPE_CHECKING:
    import keras


def build(input_size: int) -> "keras.Model":
    """Build it."""
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


BACKBONE = Backbone(about="three convolutions, for tests and demonstrations", build=build, tensors=15, values=6_200)
