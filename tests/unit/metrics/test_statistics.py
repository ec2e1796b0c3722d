"""What an evaluation says beyond its metrics: whole, or absent with a reason, and never NaN."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged import make_world, probabilities_for, strict_json

from lesionflow.metrics.calibration import scale
from lesionflow.metrics.statistics import Judged, Statistics, statistics
from lesionflow.taxonomy import HAM10000

PARTS = ["calibration", "operating_points", "abstention", "subgroups"]


def _judged(images: int, seed: int, classes: int = 7) -> Judged:
    """Images that an over-confident model judges, two of each lesion."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, images)
    logits = random.normal(size=(images, 7))
    logits[np.arange(images), labels] += 1
    sure = np.exp(3 * logits)
    probabilities = (sure / sure.sum(axis=1, keepdims=True)).astype(np.float32)
    return Judged(labels, probabilities, [str(index // 2) for index in range(images)])


def _metadata(images: int) -> pd.DataFrame:
    sex = [("male", "female", None)[index % 3] for index in range(images)]
    empty = [None] * images
    return pd.DataFrame({"sex": sex, "age": np.arange(images) % 90.0, "localization": empty, "dataset": empty})


def _document(found: Statistics) -> dict[str, Any]:
    return {part: getattr(found, part).model_dump() for part in PARTS}


def _broken(judged: Judged, value: float) -> Judged:
    probabilities = judged.probabilities.copy()
    probabilities[0, 0] = value
    return Judged(judged.labels, probabilities, judged.lesion_ids)


def test_what_is_chosen_on_validation_is_for_the_calibrated_probabilities():
    test, validation = _judged(400, 0), _judged(300, 1)

    found = statistics(test, validation, _metadata(400), seed=0, taxonomy=HAM10000)

    json.dumps(_document(found), allow_nan=False)
    calibration = found.calibration
    assert calibration.temperature == pytest.approx(3, rel=0.25)
    assert calibration.after.ece.interval[1] < calibration.before.ece.interval[0]
    assert calibration.validation.nll_after < calibration.validation.nll_before
    confidence = scale(test.probabilities, calibration.temperature).max(axis=1)
    coverage = found.abstention.test.coverage.value
    assert coverage == pytest.approx((confidence >= found.abstention.threshold).mean())
    point = found.operating_points.questions["malignant"].points[2]
    assert (point.target, point.at_least) == ("sensitivity", 0.9)
    groups = found.subgroups.by["sex"].groups
    sizes = [group.malignant_lesions for group in groups]
    rates = [group.metrics["malignant_sensitivity"].value for group in groups]
    assert np.average(rates, weights=sizes) == pytest.approx(point.test.sensitivity.value, abs=0.03)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_test_probabilities_that_are_not_numbers_leave_nothing_but_the_reason(value: float):
    found = statistics(_broken(_judged(40, 0), value), _judged(200, 1), _metadata(40), seed=0, taxonomy=HAM10000)

    json.dumps(_document(found), allow_nan=False)
    assert all("not numbers for 1 test images" in getattr(found, part).reason for part in PARTS)
    assert found.calibration.temperature is None
    assert found.abstention.threshold is None


def test_validation_probabilities_that_are_not_numbers_leave_what_needs_none():
    found = statistics(_judged(200, 0), _broken(_judged(200, 1), np.nan), _metadata(200), seed=0, taxonomy=HAM10000)

    json.dumps(_document(found), allow_nan=False)
    calibration = found.calibration
    assert (calibration.temperature, calibration.after) == (None, None)
    assert "validation" in calibration.reason
    assert calibration.before.ece.value > 0
    assert found.abstention.threshold is None
    assert found.abstention.aurc.value is not None
    assert all(point.reason for point in found.operating_points.questions["melanoma"].points)
    assert found.subgroups.by["sex"].groups[0].metrics["malignant_sensitivity"].value is None


def test_too_few_validation_lesions_give_no_temperature():
    found = statistics(_judged(200, 0), _judged(98, 1), _metadata(200), seed=0, taxonomy=HAM10000)

    assert found.calibration.temperature is None
    assert "49 lesions" in found.calibration.reason


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 25), st.integers(0, 120), st.integers(1, 7), st.integers(1, 7), st.integers(0, 1000))
def test_whatever_the_tables_the_parts_are_strict_json(tests, validations, test_classes, validation_classes, seed):
    test, validation = _judged(tests, seed, test_classes), _judged(validations, seed + 1, validation_classes)

    found = statistics(test, validation, _metadata(tests), seed=0, taxonomy=HAM10000)

    json.dumps(_document(found), allow_nan=False)
    calibration, abstention = found.calibration, found.abstention
    assert (calibration.temperature is None) == (calibration.reason is not None)
    assert (abstention.threshold is None) == (abstention.reason is not None)


def test_the_evaluation_holds_them(tmp_path, monkeypatch):
    truth = [label for label in HAM10000.codes for _ in range(6)]
    world = make_world(tmp_path, truth)

    world.evaluate(monkeypatch, probabilities_for(["nv", *truth[1:]]))

    document = strict_json(world.out("evaluation"))
    assert document["resamples"] == 2000
    assert document["calibration"]["before"]["ece"]["value"] > 0.2  # 41 of 42 right at a confidence of 0.7
    assert "lesions" in document["calibration"]["reason"]  # seven of them in the validation table
    assert document["operating_points"]["questions"]["melanoma"]["points"][0]["threshold"] is not None
    assert document["subgroups"]["by"]["sex"]["groups"] == []
    for label, entry in document["metrics"]["per_class"].items():
        for name in ("precision", "recall", "f1", "auc"):
            low, high = entry[name]["interval"]
            assert low <= entry[name]["value"] <= high, (label, name)
            assert low < high  # also where no image is misjudged
