"""The optimizer and its learning rates, against steps worked out in NumPy."""

import math
from typing import Any

import numpy as np
import pytest

from lesionflow.recipe import Phase, Recipe
from lesionflow.training.optimizer import learning_rate, make_optimizer

PHASE = Phase(epochs=4, learning_rate=0.1, trainable=1)


def test_each_variable_steps_as_adam_does():
    import keras

    from lesionflow.compat.keras_adam import Adam

    start = np.array([1.0, -2.0, 3.0], np.float32)
    variables = [keras.Variable(start), keras.Variable(start)]
    optimizer = Adam(0.1)
    optimizer.build(variables)
    gradients = [np.array([0.5, -1.0, 2.0], np.float32), np.array([1.0, 1.0, -1.0], np.float32)]
    expected = [start.astype(np.float64), start.astype(np.float64)]
    moments = [[np.zeros(3), np.zeros(3)] for _ in variables]
    for step in (1, 2, 3):
        optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients])
        for index in range(2):
            # Kingma & Ba 2015, arXiv 1412.6980, algorithm 1.
            moments[index][0] = 0.9 * moments[index][0] + 0.1 * gradients[index]
            moments[index][1] = 0.999 * moments[index][1] + 0.001 * gradients[index] ** 2
            mean, square = moments[index][0] / (1 - 0.9**step), moments[index][1] / (1 - 0.999**step)
            expected[index] -= 0.1 * mean / (np.sqrt(square) + 1e-7)
    for variable, values in zip(variables, expected, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), values, rtol=1e-4)


def test_a_recipe_that_asks_for_nothing_gets_plain_adam():
    optimizer = make_optimizer(Recipe(backbone="tiny"), PHASE, 10)
    assert type(optimizer).__name__ == "Adam"
    assert (optimizer.use_ema, optimizer.global_clipnorm, optimizer.weight_decay) == (False, None, None)


def test_the_rate_is_constant_or_follows_a_cosine_to_zero():
    rate: Any = learning_rate(Recipe(schedule="cosine"), PHASE, 10)
    found = [float(rate(step)) for step in (0, 10, 20, 40)]
    assert found == pytest.approx([0.1, 0.1 * (1 + math.cos(math.pi / 4)) / 2, 0.05, 0], abs=1e-6)
    assert learning_rate(Recipe(), PHASE, 10) == 0.1
