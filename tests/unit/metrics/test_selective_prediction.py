"""Risk and coverage against cases worked by hand and plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesionflow.metrics.bootstrap import Bootstrap
from lesionflow.metrics.selective_prediction import LEAST_ERRORS, Curve, abstention, abstention_threshold


def _answers(right: list[bool] | np.ndarray, confidence: list[float] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities of images judged so, with the largest probability given (at least 0.5)."""
    sure = np.asarray(confidence)
    probabilities = np.zeros((len(sure), 7))
    probabilities[:, 0], probabilities[:, 1] = sure, 1 - sure
    return np.where(right, 0, 1), probabilities


def _found(validation, test: tuple[np.ndarray, np.ndarray], resamples: int = 200):
    return abstention(validation, *test, Bootstrap([str(i) for i in range(len(test[0]))], 0, resamples))


def _sound(images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    confidence = random.uniform(0.5, 1, images)
    return _answers(random.random(images) < confidence, confidence)


def test_the_curve_and_its_area_worked_by_hand():
    found = _found(None, _answers([True, True, False, True], [0.9, 0.8, 0.7, 0.6]))

    assert found.curve.threshold == (0.9, 0.8, 0.7, 0.6)
    assert found.curve.coverage == (0.25, 0.5, 0.75, 1)
    assert found.curve.risk == pytest.approx([0, 0, 1 / 3, 0.25])
    assert found.aurc.value == pytest.approx((1 / 3 + 0.25) / 4)
    assert found.risk_of_all.value == pytest.approx(0.25)


def test_images_of_equal_confidence_are_kept_together():
    found = _found(None, _answers([True, False, True, False], [0.8] * 4))

    assert found.curve == Curve(threshold=(0.8,), coverage=(1,), risk=(0.5,))
    assert found.aurc.value == pytest.approx(0.5)


def test_the_area_is_the_mean_risk_over_all_coverages():
    labels, probabilities = _sound(300, 0)
    order = np.argsort(-probabilities.max(axis=1))
    wrong = (probabilities.argmax(axis=1) != labels)[order]

    metric = _found(None, (labels, probabilities)).aurc

    assert metric.value == pytest.approx(np.mean([wrong[: kept + 1].mean() for kept in range(300)]))
    assert metric.interval[0] < metric.value < metric.interval[1]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.5, 0.6, 0.7, 0.8, 0.9])), min_size=1, max_size=40))
def test_the_threshold_is_the_lowest_that_halves_the_errors(rows):
    right, confidence = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    half = (~right).mean() / 2

    threshold = abstention_threshold(right, confidence)

    enough = [value for value in sorted(set(confidence.tolist())) if (~right)[confidence >= value].mean() <= half]
    assert threshold == (enough[0] if enough else None)


def test_the_threshold_is_validations_and_its_price_is_the_test_images():
    validation, (labels, probabilities) = _sound(2000, 1), _sound(1500, 2)

    found = _found(validation, (labels, probabilities))

    kept = probabilities.max(axis=1) >= found.threshold
    wrong = probabilities.argmax(axis=1) != labels
    assert found.validation.risk <= found.validation.risk_of_all / 2
    assert found.test.coverage.value == pytest.approx(kept.mean())
    assert found.test.risk.value == pytest.approx(wrong[kept].mean())
    assert found.test.risk.interval[1] < found.risk_of_all.interval[0]
    assert len(found.curve.risk) == 200
    assert found.curve.coverage[-1] == 1


@pytest.mark.parametrize(
    ("validation", "says"),
    [
        (None, "unusable"),
        (
            _answers([True] * 500 + [False] * (LEAST_ERRORS - 1), np.linspace(0.9, 0.6, 500 + LEAST_ERRORS - 1)),
            "Only 19",
        ),
        (_answers([False] * 60, np.linspace(0.5, 0.9, 60)), "No threshold"),
    ],
)
def test_a_validation_set_that_supports_no_threshold_gives_a_reason(validation, says: str):
    found = _found(validation, _sound(50, 3))

    assert (found.threshold, found.test, found.validation) == (None, None, None)
    assert says in found.reason
    assert found.aurc.value is not None
