"""The training loss, against numbers worked out in NumPy."""

from typing import Any

import numpy as np
import pytest

from lesionflow.recipe import Recipe
from lesionflow.training.losses import make_loss

LOGITS = np.random.default_rng(0).normal(0, 3, (5, 7))
LABELS = np.array([0, 5, 3, 6, 5])


def losses(truth: np.ndarray, logits: np.ndarray, **settings: Any) -> np.ndarray:
    import keras

    loss = make_loss(Recipe(**settings))
    assert not isinstance(loss, str)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)
    return keras.ops.convert_to_numpy(loss(truth, probabilities))


def test_a_recipe_that_asks_for_nothing_gets_keras_own_loss():
    assert make_loss(Recipe()) == "sparse_categorical_crossentropy"


def test_a_mixed_label_costs_the_mixture_of_the_two_losses():
    shares = (0.3 * np.eye(7)[LABELS] + 0.7 * np.eye(7)[LABELS[::-1]]).astype(np.float32)
    log_probabilities = LOGITS - np.log(np.exp(LOGITS).sum(axis=1, keepdims=True))
    first, second = (log_probabilities[np.arange(5), labels] for labels in (LABELS, LABELS[::-1]))
    np.testing.assert_allclose(losses(shares, LOGITS, mix="mixup"), -(0.3 * first + 0.7 * second), rtol=1e-5)


def test_the_worst_errors_still_count_more():
    logits = np.array([[40.0, 0, 0, 0, 0, 0, 0], [60.0, 0, 0, 0, 0, 0, 0]])
    near, far = losses(np.eye(7)[[1, 1]], logits, mix="cutmix")
    assert far == pytest.approx(60, rel=1e-3)
    assert near == pytest.approx(40, rel=1e-3)
