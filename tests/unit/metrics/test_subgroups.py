"""Groups of test images, and which of their metrics can be judged by."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from lesionflow.metrics.bootstrap import Bootstrap
from lesionflow.metrics.subgroups import Grouping, groups_of, subgroups
from lesionflow.taxonomy import HAM10000

MALIGNANT = [HAM10000.index[label] for label in ("akiec", "bcc", "mel")]


def _metadata(images: int, **columns) -> pd.DataFrame:
    empty = {name: [None] * images for name in ("sex", "age", "localization", "dataset")}
    return pd.DataFrame({**empty, **columns})


def _images(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 7, count)
    logits = random.normal(size=(count, 7))
    logits[np.arange(count), labels] += 1.5
    return labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_ages_fall_into_bands_and_what_is_not_said_is_a_group_of_its_own():
    metadata = _metadata(
        7,
        age=np.array([0, 29.5, 30, 59, 60, 85, np.nan], np.float32),
        sex=["male", "unknown", None, "", " female", "male", "male"],
    )

    assert groups_of(metadata, "age") == [
        "under 30", "under 30", "30 to 44", "45 to 59", "60 to 74", "75 and over", "unknown",
    ]  # fmt: skip
    assert groups_of(metadata, "sex") == ["male", "unknown", "unknown", "unknown", "female", "male", "male"]
    assert groups_of(metadata, "source") == ["unknown"] * 7


def test_the_metrics_of_a_group_are_those_of_its_images():
    labels, probabilities = _images(600)
    sexes = np.where(np.arange(600) % 3 == 0, "female", "male")
    bootstrap = Bootstrap([str(i // 2) for i in range(600)], 0, 200)

    found = subgroups(_metadata(600, sex=sexes), labels, probabilities, 0.4, bootstrap, taxonomy=HAM10000)["sex"]

    assert [entry.group for entry in found.groups] == ["male", "female"]
    male, _ = found.groups
    inside = sexes == "male"
    truth, score = np.isin(labels[inside], MALIGNANT), probabilities[inside][:, MALIGNANT].sum(axis=1)
    predicted = probabilities[inside].argmax(axis=1)
    assert (male.images, male.too_small) == (400, False)
    assert {name: metric.value for name, metric in male.metrics.items()} == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(labels[inside], predicted),
            "balanced_accuracy": metrics.balanced_accuracy_score(labels[inside], predicted),
            "malignant_auc": metrics.roc_auc_score(truth, score),
            "malignant_sensitivity": metrics.recall_score(truth, score >= 0.4),
            "malignant_specificity": metrics.recall_score(~truth, score < 0.4),
        }
    )
    for metric in male.metrics.values():
        low, high = metric.interval
        assert low < metric.value < high


def test_small_groups_are_marked_and_so_are_metrics_that_rest_on_few_lesions():
    # 120 lesions of nevi and 10 of melanoma on the back, 3 lesions on the ear.
    labels = np.array([HAM10000.index["nv"]] * 120 + [HAM10000.index["mel"]] * 10 + [HAM10000.index["nv"]] * 3)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), 133)
    sites = ["back"] * 130 + ["ear"] * 3
    bootstrap = Bootstrap([str(i) for i in range(133)], 0, 200)

    found = subgroups(_metadata(133, localization=sites), labels, probabilities, 0.5, bootstrap, taxonomy=HAM10000)[
        "localization"
    ]

    back, ear = found.groups
    assert (back.too_small, back.lesions, back.malignant_lesions) == (False, 130, 10)
    assert {name: metric.too_small for name, metric in back.metrics.items()} == {
        "accuracy": False,
        "balanced_accuracy": True,
        "malignant_auc": True,
        "malignant_sensitivity": True,
        "malignant_specificity": False,
    }
    assert (ear.too_small, ear.lesions) == (True, 3)
    assert ear.metrics["malignant_sensitivity"].value is None
    # Six of seven classes are missing: a mean over the one would be another quantity.
    assert back.metrics["balanced_accuracy"].value is None


def test_a_group_of_one_lesion_is_not_certain_of_anything():
    labels, probabilities = _images(42)
    labels[:2], probabilities[:2] = HAM10000.index["mel"], np.eye(7)[HAM10000.index["mel"]]
    bootstrap = Bootstrap([str(i // 2) for i in range(42)], 0, 200)

    metadata = _metadata(42, age=[20.0] * 2 + [50.0] * 40)
    one, _ = subgroups(metadata, labels, probabilities, 0.5, bootstrap, HAM10000)["age"].groups

    assert (one.group, one.lesions, one.too_small) == ("under 30", 1, True)
    low, high = one.metrics["accuracy"].interval
    assert one.metrics["accuracy"].value == 1
    assert low < 0.3
    assert high == 1


def test_a_column_that_says_nothing_gives_a_reason_and_no_threshold_no_rates():
    labels, probabilities = _images(60)
    bootstrap = Bootstrap([str(i) for i in range(60)], 0, 100)

    found = subgroups(
        _metadata(60, sex=["male"] * 59 + [None]), labels, probabilities, None, bootstrap, taxonomy=HAM10000
    )

    assert found["source"] == Grouping(groups=(), reason="The metadata has no dataset of the test images.")
    assert [entry.group for entry in found["sex"].groups] == ["male", "unknown"]
    male = found["sex"].groups[0].metrics
    assert male["malignant_sensitivity"].value is None
    assert male["malignant_auc"].value is not None


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 6),
            st.integers(0, 4),
            st.sampled_from(["male", "female", "", None]),
            st.sampled_from([None, 0.0, 30.0, 110.0, float("inf")]),
        ),
        min_size=1,
        max_size=20,
    ),
    threshold=st.sampled_from([None, 0.0, 0.5, 1.0]),
)
def test_whatever_the_images_every_group_is_listed_once_and_nothing_is_nan(rows, threshold):
    labels = np.array([row[0] for row in rows])
    probabilities = np.random.default_rng(len(rows)).dirichlet(np.ones(7), len(rows))
    ages = np.array([row[3] for row in rows], np.float32)
    metadata = _metadata(len(rows), sex=[row[2] for row in rows], age=ages)

    found = subgroups(
        metadata, labels, probabilities, threshold, Bootstrap([str(row[1]) for row in rows], 0, 30), taxonomy=HAM10000
    )

    json.dumps({by: entry.model_dump() for by, entry in found.items()}, allow_nan=False)
    for entry in found.values():
        assert not entry.groups or sum(group.images for group in entry.groups) == len(rows)
        for group in entry.groups:
            for metric in group.metrics.values():
                bounds = [metric.value, *metric.interval]
                assert bounds == [None] * 3 or (bounds[1] <= bounds[0] + 1e-9 and bounds[0] - 1e-9 <= bounds[2])
                assert all(bound is None or 0 <= bound <= 1 for bound in bounds)
