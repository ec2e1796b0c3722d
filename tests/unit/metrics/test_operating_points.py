"""Thresholds against scikit-learn's ROC curve, and what they come to on other images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from lesionflow.metrics.bootstrap import Bootstrap, Metric
from lesionflow.metrics.operating_points import TARGETS, operating_points, threshold_at
from lesionflow.taxonomy import HAM10000


def _images(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 7, count)
    logits = random.normal(size=(count, 7))
    logits[np.arange(count), labels] += 1.5
    return labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def _points(validation, labels: np.ndarray, probabilities: np.ndarray):
    bootstrap = Bootstrap([str(i // 2) for i in range(len(labels))], 0, 200)
    return operating_points(validation, labels, probabilities, bootstrap, taxonomy=HAM10000)


@pytest.mark.parametrize(("target", "least"), TARGETS)
def test_the_best_of_scikit_learns_curve_that_keeps_to_the_target(target: str, least: float):
    labels, probabilities = _images(500, 0)
    positive, scores = labels == 4, probabilities[:, 4]
    false_positive, true_positive, _ = metrics.roc_curve(positive, scores, drop_intermediate=False)
    specificity = 1 - false_positive

    threshold = threshold_at(positive, scores, target, least)

    said = scores >= threshold
    reached = {"sensitivity": said[positive].mean(), "specificity": (~said)[~positive].mean()}
    if target == "specificity":
        assert reached["specificity"] >= least
        assert reached["sensitivity"] == pytest.approx(true_positive[specificity >= least - 1e-12].max())
    else:
        assert reached["sensitivity"] >= least
        assert reached["specificity"] == pytest.approx(specificity[true_positive >= least - 1e-12].max())


def test_a_case_worked_by_hand():
    positive = np.array([0, 0, 0, 0, 1, 0, 1, 1, 1, 0], bool)
    scores = np.arange(10) / 10

    # 5 of the 6 negatives lie below 0.9; 3 of the 4 positives are at 0.6 or above, all at 0.4.
    assert threshold_at(positive, scores, "specificity", 0.8) == 0.6
    assert threshold_at(positive, scores, "specificity", 0.9) == np.inf
    assert threshold_at(positive, scores, "sensitivity", 0.75) == 0.6
    assert threshold_at(positive, scores, "sensitivity", 0.9) == 0.4


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0])), min_size=2, max_size=40).filter(
        lambda rows: len({truth for truth, _ in rows}) == 2
    ),
    st.sampled_from(TARGETS),
)
def test_validation_is_on_the_safe_side_and_the_next_threshold_is_not(rows, point: tuple[str, float]):
    positive, scores = np.array([truth for truth, _ in rows]), np.array([score for _, score in rows])
    target, least = point

    threshold = threshold_at(positive, scores, target, least)

    def reached(threshold: float) -> float:
        said = scores >= threshold
        return said[positive].mean() if target == "sensitivity" else (~said)[~positive].mean()

    assert reached(threshold) >= least - 1e-9
    others = np.append(np.unique(scores), np.inf)
    tighter = others[others > threshold] if target == "sensitivity" else others[others < threshold]
    assert all(reached(other) < least for other in tighter)


def test_thresholds_are_validations_and_rates_are_the_test_images():
    validation, (labels, probabilities) = _images(400, 1), _images(600, 2)

    found = _points(validation, labels, probabilities)["malignant"]

    columns = [HAM10000.index[label] for label in ("akiec", "bcc", "mel")]
    positive, scores = np.isin(labels, columns), probabilities[:, columns].sum(axis=1)
    assert found.classes == ("akiec", "bcc", "mel")
    assert (found.positives, found.negatives) == (positive.sum(), (~positive).sum())
    assert found.auc.value == pytest.approx(metrics.roc_auc_score(positive, scores))
    assert found.auc.interval[0] < found.auc.value < found.auc.interval[1]
    assert [(point.target, point.at_least) for point in found.points] == list(TARGETS)
    for point in found.points:
        assert getattr(point.validation, point.target) >= point.at_least
        (true_negative, false_positive), (false_negative, true_positive) = metrics.confusion_matrix(
            positive, scores >= point.threshold
        )
        expected = {
            "sensitivity": true_positive / (true_positive + false_negative),
            "specificity": true_negative / (true_negative + false_positive),
            "ppv": true_positive / (true_positive + false_positive),
            "npv": true_negative / (true_negative + false_negative),
        }
        test = {name: point.test.metric(name) for name in expected}
        assert {name: metric.value for name, metric in test.items()} == pytest.approx(expected)
        assert all(metric.interval[0] < metric.value < metric.interval[1] for metric in test.values())


def test_without_a_usable_validation_set_there_is_a_reason_instead():
    labels, probabilities = _images(50, 3)
    benign = np.full(10, HAM10000.codes.index("nv"))

    for validation, says in ((None, "unusable"), ((benign, probabilities[:10]), "negative")):
        for point in _points(validation, labels, probabilities)["melanoma"].points:
            assert (point.threshold, point.test) == (None, None)
            assert says in point.reason


def test_a_test_set_without_melanoma_has_a_specificity_only():
    labels = np.full(20, HAM10000.codes.index("nv"))

    found = _points(_images(200, 4), labels, _images(20, 5)[1])["melanoma"]

    assert found.auc == Metric(value=None, interval=(None, None))
    for point in found.points:
        assert point.test.sensitivity.value is None
        assert point.test.specificity.value is not None
