"""Augmentation as Keras layers, on the device.

Flips, rotation, zoom and crop are one affine map, so the image is sampled once. Keras' own layers
sample it each, which costs more than twice as much and blurs it twice. The colours, too, are one
map: Keras' RandomColorJitter walks through HSV two times, and its contrast only rises unless told by a pair.
"""

import math
from typing import Any, cast

import keras
import numpy as np
from keras import ops

from lesionflow.models.deployable import fit_to_input
from lesionflow.recipe import Augmentation

_GREY = np.array([0.299, 0.587, 0.114], np.float32)
"""Shares of red, green and blue in what is seen as brightness (ITU-R BT.601)."""
_TURN = np.array([[0, 1, -1], [-1, 0, 1], [1, -1, 0]], np.float32) / math.sqrt(3)
"""Cross product with the unit vector along the greys, for a row vector of red, green and blue."""


def augment(images: Any, settings: Augmentation, size: int) -> Any:
    """Augment the input of a training model: the layers that the settings need, and no others.

    Args:
        images: whole ones, shape (n, frame, frame, 3).
        settings: of the recipe.
        size: side of the network input, pixels.
    """
    geometry = {"rotation", "horizontal_flip", "vertical_flip", "zoom", "crop"}
    colours = {"brightness", "contrast", "saturation", "hue"}
    images = RandomAffine(**settings.model_dump(include=geometry), size=size, name="augment")(images)
    if any(settings.model_dump(include=colours).values()):
        images = RandomColour(**settings.model_dump(include=colours), name="colour")(images)
    return images


class _RandomImages(keras.layers.Layer):
    """What the random layers share: float32 images in and out, their generator, nothing outside training."""

    settings: tuple[str, ...]
    """Names of the attributes that make the layer, for Keras' serialisation."""

    def __init__(self, seed: int | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Change each image of a batch on its own."""
        images: Any = ops.cast(inputs, "float32")
        return self.change(images, cast(Any, ops.shape(images))[0]) if training else self.unchanged(images)

    def unchanged(self, images: Any) -> Any:
        """Give what comes out when nothing trains."""
        return images

    def change(self, images: Any, count: Any) -> Any:
        """The changed images, `count` of them."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape stays."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The settings, for Keras' serialisation."""
        return {**super().get_config(), **{name: getattr(self, name) for name in (*self.settings, "seed")}}


@keras.saving.register_keras_serializable("lesionflow")
class RandomAffine(_RandomImages):
    """Random crop, then flips, rotation and zoom about its centre; what leaves the frame is filled by reflection.

    Input: (n, frame, frame, 3); output: (n, size, size, 3), float32. Outside training it only resizes.
    """

    settings = ("rotation", "horizontal_flip", "vertical_flip", "zoom", "crop", "size")

    def __init__(
        self,
        rotation: float,
        horizontal_flip: bool,
        vertical_flip: bool,
        zoom: float,
        crop: float,
        size: int,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        """See `recipe.Augmentation` for the settings; `size` is the side of the output in pixels."""
        super().__init__(seed, **kwargs)
        self.rotation = rotation
        self.horizontal_flip = horizontal_flip
        self.vertical_flip = vertical_flip
        self.zoom = zoom
        self.crop = crop
        self.size = size

    def unchanged(self, images: Any) -> Any:
        """The whole images, as small as the output, as the deployable model makes them."""
        return fit_to_input(images, self.size)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """As large as the network input."""
        return (input_shape[0], self.size, self.size, 3)

    def change(self, images: Any, count: Any) -> Any:
        """Transform each image of a batch on its own."""
        _, height, width, _ = images.shape
        angle = self._uniform(count, math.radians(self.rotation))
        scale = (1.0 + self._uniform(count, self.zoom)) * (width / self.size)
        cos, sin = ops.cos(angle) * scale, ops.sin(angle) * scale
        across = self._sign(count, self.horizontal_flip)
        down = self._sign(count, self.vertical_flip)
        # Rows of the map from output to input coordinates, first about the centre, then shifted to it.
        a0, a1 = cos * across, -sin * down
        b0, b1 = sin * across, cos * down
        x, y = (width - 1) / 2, (height - 1) / 2
        zero = ops.zeros_like(angle)
        centre_x, centre_y = x, y
        if self.crop < 1:
            wide, high = self._crop_sides(count)
            a0, a1, b0, b1 = a0 * wide, a1 * wide, b0 * high, b1 * high
            centre_x = x + x * (1 - wide) * self._uniform(count, 1.0)
            centre_y = y + y * (1 - high) * self._uniform(count, 1.0)
        transform = ops.stack(
            [a0, a1, centre_x - a0 * x - a1 * y, b0, b1, centre_y - b0 * x - b1 * y, zero, zero], axis=1
        )
        changed: Any = ops.image.affine_transform(
            images, transform, interpolation="bilinear", fill_mode="reflect", data_format="channels_last"
        )
        # Keras gives an output as large as the input, of which the middle is ours.
        edge = (width - self.size) // 2
        return changed[:, edge : edge + self.size, edge : edge + self.size]

    def _crop_sides(self, count: Any) -> tuple[Any, Any]:
        """Sides of the crop, as shares of the image's (Szegedy et al. 2015, arXiv 1409.4842, section 6)."""
        area = keras.random.uniform((count,), self.crop, 1.0, seed=self.generator)
        ratio = ops.exp(self._uniform(count, math.log(4 / 3)))
        return ops.minimum(ops.sqrt(area * ratio), 1.0), ops.minimum(ops.sqrt(area / ratio), 1.0)

    def _uniform(self, count: Any, limit: float) -> Any:
        return keras.random.uniform((count,), -limit, limit, seed=self.generator)

    def _sign(self, count: Any, flip: bool) -> Any:
        draw = keras.random.uniform((count,), seed=self.generator)
        return ops.where(draw < 0.5, -1.0, 1.0) if flip else ops.ones_like(draw)


@keras.saving.register_keras_serializable("lesionflow")
class RandomColour(_RandomImages):
    """Random hue, saturation, contrast and brightness, as one linear map of each image's colours.

    Input and output: (n, height, width, 3) RGB in 0..255; output in float32. Does nothing outside training.
    """

    settings = ("brightness", "contrast", "saturation", "hue")

    def __init__(
        self,
        brightness: float,
        contrast: float,
        saturation: float,
        hue: float,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        """See `recipe.Augmentation` for the meaning and units of the settings."""
        super().__init__(seed, **kwargs)
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue

    def change(self, images: Any, count: Any) -> Any:
        """Change the colours of each image of a batch on its own."""
        brightness, contrast, saturation = (
            1.0 + self._uniform(count, limit) for limit in (self.brightness, self.contrast, self.saturation)
        )
        angle = self._uniform(count, 2 * math.pi * self.hue)
        # A turn about the axis of the greys (Rodrigues' formula), then away from each pixel's grey or towards it.
        cos: Any = ops.cos(angle)
        sin: Any = ops.sin(angle)
        turn = cos * np.eye(3, dtype=np.float32) + sin * _TURN + (1 - cos) * np.full((3, 3), 1 / 3, np.float32)
        to_grey = np.tile(_GREY[:, None], 3)
        colours: Any = ops.matmul(turn, saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * to_grey)
        _, height, width, _ = images.shape
        changed: Any = ops.matmul(ops.reshape(images, (-1, height * width, 3)), colours)
        mean: Any = ops.matmul(ops.mean(changed, axis=1, keepdims=True), to_grey)
        changed = brightness * (contrast * changed + (1 - contrast) * mean)
        return ops.reshape(ops.clip(changed, 0.0, 255.0), (-1, height, width, 3))

    def _uniform(self, count: Any, limit: float) -> Any:
        return keras.random.uniform((count, 1, 1), -limit, limit, seed=self.generator)
