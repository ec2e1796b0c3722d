"""Metrics against cases worked by hand, and intervals against what they must obey."""

import json

import numpy as np
import pytest
from judged import probabilities_for

from lesionflow.metrics.bootstrap import Metric
from lesionflow.metrics.classification import AVERAGES, CLASS_METRICS, ClassMetrics, classification_metrics, intervals
from lesionflow.taxonomy import HAM10000


def _indices(labels: list[str]) -> np.ndarray:
    return np.array([HAM10000.index[label] for label in labels])


def test_metrics_of_a_case_worked_by_hand():
    # Two nevi are taken for melanoma; everything else is right.
    truth = ["akiec", "bcc", "bkl", "df", "mel", "mel", "nv", "nv", "nv", "nv", "vasc"]
    predicted = ["akiec", "bcc", "bkl", "df", "mel", "mel", "nv", "nv", "mel", "mel", "vasc"]

    result = classification_metrics(_indices(truth), probabilities_for(predicted), classes=HAM10000.codes)

    mel, nv = result.per_class["mel"], result.per_class["nv"]
    assert (mel.precision.value, mel.recall.value, mel.support) == (0.5, 1.0, 2)
    assert (nv.precision.value, nv.recall.value, nv.support) == (1.0, 0.5, 4)
    assert mel.f1.value == pytest.approx(2 / 3)
    assert nv.f1.value == pytest.approx(2 / 3)
    assert result.macro_f1.value == pytest.approx((5 + 4 / 3) / 7)
    assert result.weighted_f1.value == pytest.approx((5 + 6 * 2 / 3) / 11)
    assert result.balanced_accuracy.value == pytest.approx((6 + 0.5) / 7)
    assert result.accuracy.value == pytest.approx(9 / 11)
    # nv against the rest: of 4 * 7 pairs, 2 * 7 are in order and 2 * 7 are ties.
    assert nv.auc.value == pytest.approx(0.75)
    assert result.confusion_matrix[HAM10000.index["nv"]] == (0, 0, 0, 0, 2, 2, 0)
    assert result.missing_classes == ()


def test_always_answering_nevus_looks_good_only_by_accuracy():
    truth = _indices(["nv"] * 67 + ["mel"] * 11 + ["bkl"] * 11 + ["bcc"] * 5 + ["akiec"] * 3 + ["df"] + ["vasc"] * 2)

    result = classification_metrics(truth, probabilities_for(["nv"] * 100), classes=HAM10000.codes)

    assert result.accuracy.value == pytest.approx(0.67)
    assert result.macro_f1.value == pytest.approx(0.1146, abs=1e-3)
    assert result.macro_auc.value == 0.5
    assert result.per_class["mel"].precision.value == 0


def test_without_images_of_a_class_there_is_no_macro_average():
    truth = [label for label in HAM10000.codes if label != "df"]

    result = classification_metrics(_indices(truth), probabilities_for(truth), classes=HAM10000.codes)

    assert result.missing_classes == ("df",)
    assert (result.macro_f1.value, result.balanced_accuracy.value, result.macro_auc.value) == (None, None, None)
    assert result.per_class["df"] == ClassMetrics(support=0)
    assert all(result.per_class["df"].metric(name) == Metric() for name in CLASS_METRICS)
    assert result.accuracy.value == 1


@pytest.mark.parametrize(
    ("truth", "broken"),
    [
        (list(HAM10000.codes), np.nan),
        (list(HAM10000.codes), np.inf),
        (["mel"] * 3, None),
        ([], None),
        (["mel"], np.nan),
    ],
)
def test_metrics_are_strict_json_whatever_happens(truth, broken):
    probabilities = probabilities_for(truth)
    if broken is not None:
        probabilities[0, 2] = broken

    result = classification_metrics(_indices(truth).astype(int), probabilities, classes=HAM10000.codes)

    json.dumps(result.model_dump(), allow_nan=False)
    assert set(AVERAGES) == set(result.averages)
    if broken is not None:
        assert result.invalid_predictions == 1
        assert result.accuracy.value is None


def _noisy(images: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = random.integers(0, 7, images)
    logits = random.normal(size=(images, 7))
    logits[np.arange(images), truth] += 2
    probabilities = np.exp(logits)
    return truth, (probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)


def test_intervals_hold_the_metric_and_shrink_with_more_lesions():
    widths = []
    for images in (100, 1600):
        truth, probabilities = _noisy(images)
        metrics = classification_metrics(truth, probabilities, classes=HAM10000.codes)
        limits = intervals(truth, probabilities, [str(i) for i in range(images)], seed=0, classes=HAM10000.codes)
        for name in AVERAGES:
            low, high = limits[name]
            assert low < metrics.averages[name].value < high
        low, high = limits["recall:mel"]
        assert low < metrics.per_class["mel"].recall.value < high
        widths.append(limits["macro_f1"][1] - limits["macro_f1"][0])
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.3)  # goes with the square root


def test_intervals_count_lesions_and_not_images():
    truth, probabilities = _noisy(200)
    one_by_one = intervals(truth, probabilities, [str(i) for i in range(200)], seed=0, classes=HAM10000.codes)
    # Eight copies of each image bring no knowledge if they are known to be of the same lesion.
    copies = np.repeat(truth, 8), np.repeat(probabilities, 8, axis=0), [str(i // 8) for i in range(1600)]

    assert intervals(*copies, seed=0, classes=HAM10000.codes)["macro_f1"] == pytest.approx(
        one_by_one["macro_f1"], abs=1e-9
    )
    assert intervals(*copies, seed=0, classes=HAM10000.codes)["macro_auc"] == pytest.approx(
        one_by_one["macro_auc"], abs=1e-9
    )


@pytest.mark.slow
def test_intervals_agree_with_resampling_done_the_plain_way():
    truth, probabilities = _noisy(60)
    random = np.random.default_rng(1)
    plain = []
    for _ in range(250):
        # As many images of each class as there are, as in a test set that was split off class by class.
        rows = np.concatenate([random.choice(np.flatnonzero(truth == k), (truth == k).sum()) for k in np.unique(truth)])
        result = classification_metrics(truth[rows], probabilities[rows], classes=HAM10000.codes)
        plain.append([result.averages[name].value for name in ("macro_f1", "macro_auc", "accuracy")])
    kept = np.array([row for row in plain if None not in row], dtype=float)

    limits = intervals(
        truth, probabilities, [str(i) for i in range(60)], seed=0, resamples=4000, classes=HAM10000.codes
    )

    for column, name in enumerate(("macro_f1", "macro_auc", "accuracy")):
        assert limits[name] == pytest.approx(np.quantile(kept[:, column], (0.025, 0.975)), abs=0.04)


def test_the_same_seed_gives_the_same_intervals():
    truth, probabilities = _noisy(80)
    lesions = [str(i // 2) for i in range(80)]

    assert intervals(truth, probabilities, lesions, 5, classes=HAM10000.codes) == intervals(
        truth, probabilities, lesions, 5, classes=HAM10000.codes
    )
    assert intervals(truth, probabilities, lesions, 5, classes=HAM10000.codes) != intervals(
        truth, probabilities, lesions, 6, classes=HAM10000.codes
    )
