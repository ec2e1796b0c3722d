"""Augmentation as one Keras layer, on the device.

Flips, rotation and zoom are one affine map, so the image is sampled once. Keras' own three layers
sample it two times, which costs more than twice as much and blurs it twice.
"""

import math
from typing import Any, cast

import keras
from keras import ops


@keras.saving.register_keras_serializable("lesionflow")
class RandomAffine(keras.layers.Layer):
    """Random flips, rotation and zoom about the centre; what leaves the frame is filled by reflection.

    Input and output: (n, height, width, 3); output in float32. Does nothing outside training.
    """

    def __init__(
        self,
        rotation: float,
        horizontal_flip: bool,
        vertical_flip: bool,
        zoom: float,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        """See `recipe.Augmentation` for the meaning and units of the settings."""
        super().__init__(**kwargs)
        self.rotation = rotation
        self.horizontal_flip = horizontal_flip
        self.vertical_flip = vertical_flip
        self.zoom = zoom
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Transform each image of a batch on its own."""
        images: Any = ops.cast(inputs, "float32")
        if not training:
            return images
        count: Any = cast(Any, ops.shape(images))[0]
        _, height, width, _ = images.shape
        angle = self._uniform(count, math.radians(self.rotation))
        scale = 1.0 + self._uniform(count, self.zoom)
        cos, sin = ops.cos(angle) * scale, ops.sin(angle) * scale
        across = self._sign(count, self.horizontal_flip)
        down = self._sign(count, self.vertical_flip)
        # Rows of the map from output to input coordinates, first about the centre, then shifted to it.
        a0, a1 = cos * across, -sin * down
        b0, b1 = sin * across, cos * down
        x, y = (width - 1) / 2, (height - 1) / 2
        zero = ops.zeros_like(angle)
        transform = ops.stack([a0, a1, x - a0 * x - a1 * y, b0, b1, y - b0 * x - b1 * y, zero, zero], axis=1)
        return ops.image.affine_transform(
            images, transform, interpolation="bilinear", fill_mode="reflect", data_format="channels_last"
        )

    def _uniform(self, count: Any, limit: float) -> Any:
        return keras.random.uniform((count,), -limit, limit, seed=self.generator)

    def _sign(self, count: Any, flip: bool) -> Any:
        draw = keras.random.uniform((count,), seed=self.generator)
        return ops.where(draw < 0.5, -1.0, 1.0) if flip else ops.ones_like(draw)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape stays."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The settings, for Keras' serialisation."""
        return {
            **super().get_config(),
            "rotation": self.rotation,
            "horizontal_flip": self.horizontal_flip,
            "vertical_flip": self.vertical_flip,
            "zoom": self.zoom,
            "seed": self.seed,
        }
