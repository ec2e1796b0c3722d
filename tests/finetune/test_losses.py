"""The training loss, against numbers worked out in NumPy."""

from typing import Any

import numpy as np
import pytest

from components.common.recipe import Recipe
from components.finetune.losses import log_prior, make_loss

COUNTS = np.array([229, 360, 769, 80, 779, 4694, 99])
LOGITS = np.random.default_rng(0).normal(0, 3, (5, 7))
LABELS = np.array([0, 5, 3, 6, 5])


def losses(truth: np.ndarray, logits: np.ndarray, counts: np.ndarray = COUNTS, **settings: Any) -> np.ndarray:
    import keras

    loss = make_loss(Recipe(**settings), counts)
    assert not isinstance(loss, str)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)
    return keras.ops.convert_to_numpy(loss(truth, probabilities))


def test_a_recipe_that_asks_for_nothing_gets_keras_own_loss():
    assert make_loss(Recipe(), COUNTS) == "sparse_categorical_crossentropy"


def test_balanced_softmax_is_the_softmax_weighted_by_the_counts():
    weighted = COUNTS * np.exp(LOGITS)  # Ren et al. 2020, equation 4
    expected = -np.log(weighted[np.arange(5), LABELS] / weighted.sum(axis=1))
    np.testing.assert_allclose(losses(LABELS, LOGITS, balance="logit-adjusted"), expected, rtol=1e-5)


def test_tau_scales_the_logarithm_of_the_prior():
    adjusted = np.exp(LOGITS + 0.5 * np.log(COUNTS / COUNTS.sum()))  # Menon et al. 2021, equation 10
    expected = -np.log(adjusted[np.arange(5), LABELS] / adjusted.sum(axis=1))
    np.testing.assert_allclose(losses(LABELS, LOGITS, balance="logit-adjusted", tau=0.5), expected, rtol=1e-5)


def test_equal_counts_change_nothing_and_a_class_without_images_is_finite():
    plain = LOGITS[np.arange(5), LABELS] - np.log(np.exp(LOGITS).sum(axis=1))
    np.testing.assert_allclose(losses(LABELS, LOGITS, np.full(7, 9), balance="logit-adjusted"), -plain, rtol=1e-5)
    assert np.isfinite(log_prior(np.array([0, 1, 2, 3, 4, 5, 6]))).all()


def test_label_smoothing_by_hand():
    # One certain answer, right and wrong: of log p, 0.9 + 0.1 / 7 goes to the label, 0.1 / 7 to each other class.
    logits = np.zeros((2, 7))
    logits[:, 0] = 2.0
    log_sum = np.log(np.exp(2.0) + 6)
    right = -(0.9 + 0.1 / 7) * (2 - log_sum) + 6 * 0.1 / 7 * log_sum
    wrong = (0.9 + 0.1 / 7) * log_sum - 0.1 / 7 * (2 - log_sum) + 5 * 0.1 / 7 * log_sum
    found = losses(np.array([0, 1]), logits, label_smoothing=0.1)
    np.testing.assert_allclose(found, [right, wrong], rtol=1e-5)


def test_a_mixed_label_costs_the_mixture_of_the_two_losses():
    shares = (0.3 * np.eye(7)[LABELS] + 0.7 * np.eye(7)[LABELS[::-1]]).astype(np.float32)
    log_probabilities = LOGITS - np.log(np.exp(LOGITS).sum(axis=1, keepdims=True))
    first, second = (log_probabilities[np.arange(5), labels] for labels in (LABELS, LABELS[::-1]))
    np.testing.assert_allclose(losses(shares, LOGITS, mix="mixup"), -(0.3 * first + 0.7 * second), rtol=1e-5)


def test_the_worst_errors_still_count_more():
    logits = np.array([[40.0, 0, 0, 0, 0, 0, 0], [60.0, 0, 0, 0, 0, 0, 0]])
    near, far = losses(np.array([1, 1]), logits, label_smoothing=1e-6)
    assert far == pytest.approx(60, rel=1e-3)
    assert near == pytest.approx(40, rel=1e-3)
