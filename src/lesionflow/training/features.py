"""What a frozen backbone makes of each image, computed once for all epochs, where nothing random comes before it."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np

from lesionflow.models.classifier import backbone_of
from lesionflow.models.deployable import fit_to_input
from lesionflow.recipe import Augmentation, Recipe
from lesionflow.training.sampling import Examples
from lesionflow.training.validation import outputs

_STILL = Augmentation(rotation=0, horizontal_flip=False, zoom=0)


def features_stay(core: keras.Model, recipe: Recipe) -> bool:
    """Whether every epoch would compute the same features: a frozen backbone, no augmentation, no mixtures."""
    return not backbone_of(core).trainable_variables and recipe.augmentation == _STILL and recipe.mix == "none"


def head_of(core: keras.Model) -> keras.Model:
    """Cut out the part of the core that follows the backbone, with its weights: features to probabilities."""
    inputs = keras.Input(backbone_of(core).output_shape[1:], name="features")
    outputs = inputs
    for layer in core.layers[2:]:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs, name=core.name)


def with_features(core: keras.Model, recipe: Recipe, examples: Examples) -> Examples:
    """Put features into the examples, float32 of shape (n, channels), in the place of their pixels.

    The backbone computes as it does outside training: without stochastic depth, for no layer of it learns.
    """
    inputs = keras.Input((recipe.decode_size, recipe.decode_size, 3), name="image")
    model = keras.Model(inputs, backbone_of(core)(fit_to_input(keras.ops.cast(inputs, "float32"), recipe.input_size)))
    features: Any = outputs(model, examples).astype(np.float32)
    return replace(examples, pixels=features)
