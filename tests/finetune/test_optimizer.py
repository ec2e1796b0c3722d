"""The optimizer and its learning rates, against steps worked out in NumPy."""

import math
from typing import Any

import numpy as np
import pytest

from components.common.backbone import build_core, set_trainable
from components.common.recipe import Phase, Recipe
from components.finetune.optimizer import LayerwiseAdamW, layer_rates, learning_rate, make_optimizer

PHASE = Phase(epochs=4, learning_rate=0.1, trainable=1)


def test_each_variable_steps_as_its_own_rate_and_decay_say():
    import keras

    start = np.array([1.0, -2.0, 3.0], np.float32)
    variables = [keras.Variable(start), keras.Variable(start)]
    optimizer = LayerwiseAdamW(0.1, rates=[1.0, 0.5], decays=[0.0, 0.2])
    optimizer.build(variables)
    gradients = [np.array([0.5, -1.0, 2.0], np.float32), np.array([1.0, 1.0, -1.0], np.float32)]
    expected = [start.astype(np.float64), start.astype(np.float64)]
    moments = [[np.zeros(3), np.zeros(3)] for _ in variables]
    for step in (1, 2, 3):
        optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients])
        for index, (rate, decay) in enumerate([(0.1, 0.0), (0.05, 0.2)]):
            # Loshchilov & Hutter 2019, algorithm 2.
            moments[index][0] = 0.9 * moments[index][0] + 0.1 * gradients[index]
            moments[index][1] = 0.999 * moments[index][1] + 0.001 * gradients[index] ** 2
            mean, square = moments[index][0] / (1 - 0.9**step), moments[index][1] / (1 - 0.999**step)
            expected[index] -= rate * (mean / (np.sqrt(square) + 1e-7) + decay * expected[index])
    for variable, values in zip(variables, expected, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), values, rtol=1e-4)


def test_a_recipe_that_asks_for_nothing_gets_plain_adam():
    core = build_core("tiny", 32, 0.1)
    optimizer = make_optimizer(core, Recipe(backbone="tiny"), PHASE, 10)
    assert type(optimizer).__name__ == "Adam"
    assert (optimizer.use_ema, optimizer.global_clipnorm, optimizer.weight_decay) == (False, None, None)


def test_only_kernels_decay():
    core = build_core("tiny", 32, 0.1)
    optimizer = make_optimizer(core, Recipe(backbone="tiny", weight_decay=0.05), PHASE, 10)
    assert isinstance(optimizer, LayerwiseAdamW)
    decayed = {
        variable.path.rsplit("/", 1)[1]
        for variable, decay in zip(core.trainable_variables, optimizer.decays, strict=True)
        if decay
    }
    assert decayed == {"kernel"}
    assert set(optimizer.rates) == {1.0}


def test_earlier_blocks_learn_slower():
    core = build_core("tiny", 32, 0.1)
    set_trainable(core, 1.0, pretrained=True)
    rates = {
        variable.path: rate for variable, rate in zip(core.trainable_variables, layer_rates(core, 0.5), strict=True)
    }
    # Blocks stem, block1a, block2a, top (which has no weights), then the classifier's last layer.
    expected = {"stem_conv": 0.5**4, "block1a_conv": 0.5**3, "block2a_conv": 0.5**2, "probabilities": 1.0}
    assert {path.rsplit("/", 2)[-2]: rate for path, rate in rates.items()} == expected


def test_the_rate_rises_then_follows_a_cosine_to_zero():
    rate: Any = learning_rate(Recipe(schedule="cosine", warmup=0.25), PHASE, 10)
    found = [float(rate(step)) for step in (0, 5, 10, 25, 40)]
    # 40 batches, 10 of them rising, and half of the cosine's 30 done after 25.
    assert found == pytest.approx([0, 0.05, 0.1, 0.05, 0], abs=1e-6)
    plain: Any = learning_rate(Recipe(schedule="cosine"), PHASE, 10)
    assert float(plain(10)) == pytest.approx(0.1 * (1 + math.cos(math.pi / 4)) / 2)
    assert learning_rate(Recipe(), PHASE, 10) == 0.1
