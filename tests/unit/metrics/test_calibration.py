"""Calibration against scikit-learn, cases worked by hand, and scores made wrong on purpose."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn import metrics
from sklearn.calibration import calibration_curve

from lesionflow.metrics.bootstrap import Bootstrap
from lesionflow.metrics.calibration import calibration_metrics, equal_mass_bins, fit_temperature, log_loss, scale
from lesionflow.taxonomy import HAM10000


def _honest(images: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn with exactly the probabilities given."""
    random = np.random.default_rng(seed)
    probabilities = softmax(random.normal(scale=2, size=(images, 7)), axis=1)
    labels = (probabilities.cumsum(axis=1) < random.random((images, 1))).sum(axis=1)
    return np.minimum(labels, 6), probabilities


def _metrics(labels: np.ndarray, probabilities: np.ndarray):
    return calibration_metrics(
        labels, probabilities, Bootstrap([str(i) for i in range(len(labels))], 0, 200), classes=HAM10000.codes
    )


@pytest.mark.parametrize("wrong_by", [0.4, 1.0, 2.5])
def test_the_temperature_that_spoilt_the_scores_is_found_again(wrong_by: float):
    labels, honest = _honest(20_000)
    spoilt = softmax(np.log(honest) / wrong_by, axis=1).astype(np.float32)

    found = fit_temperature(labels, spoilt)

    assert found == pytest.approx(1 / wrong_by, rel=0.03)
    assert scale(spoilt, 1 / wrong_by) == pytest.approx(honest, abs=1e-4)


def test_no_temperature_nearby_makes_the_labels_likelier():
    labels, probabilities = _honest(300)
    found = fit_temperature(labels, probabilities)
    assert found is not None

    best = log_loss(labels, scale(probabilities, found))

    assert all(best <= log_loss(labels, scale(probabilities, found * factor)) for factor in (0.9, 0.99, 1.01, 1.1))


def test_scaling_works_on_averaged_views_and_on_zeros_and_changes_no_decision():
    random = np.random.default_rng(0)
    views = softmax(random.normal(scale=3, size=(2, 50, 7)), axis=2)
    probabilities = views.mean(axis=0).astype(np.float32)
    probabilities[0] = [1, 0, 0, 0, 0, 0, 0]

    for temperature in (0.3, 1, 4):
        scaled = scale(probabilities, temperature)
        assert scaled.sum(axis=1) == pytest.approx(1)
        assert np.array_equal(scaled.argmax(axis=1), probabilities.argmax(axis=1))
    assert scale(probabilities, 1) == pytest.approx(probabilities, abs=1e-6)


@pytest.mark.parametrize("answers", [np.eye(7)[np.arange(70) % 7] * 0.7 + 0.3 / 7, np.full((70, 7), 1 / 7)])
def test_images_that_do_not_say_give_no_temperature(answers: np.ndarray):
    assert fit_temperature(np.arange(70) % 7, answers) is None


def test_one_certain_mistake_does_not_decide_the_temperature_alone():
    labels, probabilities = _honest(2000)
    plain = fit_temperature(labels, probabilities)
    probabilities[0] = np.eye(7)[(labels[0] + 1) % 7]

    assert fit_temperature(labels, probabilities) == pytest.approx(plain, rel=0.1)


def test_metrics_are_scikit_learns():
    labels, probabilities = _honest(900)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    accuracy, mean = calibration_curve(right, confidence, n_bins=15, strategy="quantile")

    found = _metrics(labels, probabilities)

    assert [entry.accuracy for entry in found.reliability] == pytest.approx(accuracy.tolist())
    assert [entry.confidence for entry in found.reliability] == pytest.approx(mean.tolist())
    assert found.ece.value == pytest.approx(np.abs(accuracy - mean).mean(), abs=1e-9)  # 60 images in each
    assert found.nll.value == pytest.approx(metrics.log_loss(labels, probabilities, labels=range(7)))
    brier = metrics.brier_score_loss(labels, probabilities, labels=range(7), scale_by_half=False)
    assert found.brier.value == pytest.approx(brier)
    mel = HAM10000.codes.index("mel")
    frequency, mean = calibration_curve(labels == mel, probabilities[:, mel], n_bins=15, strategy="quantile")
    assert found.class_ece["mel"].value == pytest.approx(np.abs(frequency - mean).mean(), abs=1e-9)


def test_a_case_worked_by_hand():
    # Four images at 0.9, of which two are right, and four at 0.6, of which three are right.
    probabilities = np.array([[0.9, 0.1, *[0.0] * 5]] * 4 + [[0.6, 0.4, *[0.0] * 5]] * 4)
    labels = np.array([0, 0, 1, 1, 0, 0, 0, 1])

    found = _metrics(labels, probabilities)

    assert found.ece.value == pytest.approx((4 * 0.4 + 4 * 0.15) / 8)
    assert [(entry.images, entry.accuracy) for entry in found.reliability] == [(4, 0.75), (4, 0.5)]
    assert found.brier.value == pytest.approx((2 * 0.02 + 2 * 1.62 + 3 * 0.32 + 0.72) / 8)


def test_scaling_mends_what_over_confidence_spoils():
    labels, honest = _honest(3000)
    sure = scale(honest, 0.4)

    before, after = _metrics(labels, sure), _metrics(labels, honest)

    assert before.ece.interval[0] > after.ece.interval[1]
    assert before.nll.interval[0] > after.nll.interval[1]
    assert after.ece.interval[0] < 0.01


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.5000001, 0.9, 1.0]), min_size=1, max_size=60), st.integers(1, 20))
def test_equal_scores_share_a_bin_and_bins_are_ordered_and_none_is_empty(scores: list[float], bins: int):
    values = np.array(scores)

    found = equal_mass_bins(values, bins)

    order = np.argsort(values, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    assert all(len(set(found[values == score].tolist())) == 1 for score in set(scores))
    assert sorted(set(found.tolist())) == list(range(found.max() + 1))
    assert found.max() < bins
