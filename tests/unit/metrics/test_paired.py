"""Differences between two models on the same images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesionflow.metrics.classification import AVERAGES, classification_metrics, intervals
from lesionflow.metrics.paired import Difference, paired_differences
from lesionflow.taxonomy import HAM10000


def _scores(random: np.random.Generator, images: int, gain: float = 0.0) -> tuple[np.ndarray, ...]:
    """Labels, two score tables that share most of their noise (the second better by `gain`), lesions."""
    labels = np.concatenate([np.arange(7), random.integers(0, 7, images - 7)])
    shared = random.normal(size=(images, 7))
    shared[np.arange(images), labels] += 1.5
    first, second = (shared + random.normal(scale=0.25, size=(images, 7)) for _ in range(2))
    second[np.arange(images), labels] += gain
    tables = [np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) for logits in (first, second)]
    return labels, *tables, np.array([str(index // 2) for index in range(images)])


def test_the_difference_is_that_of_the_metrics_and_turns_with_the_order():
    labels, first, second, lesions = _scores(np.random.default_rng(0), 300, gain=0.5)
    one, two = (classification_metrics(labels, table, classes=HAM10000.codes) for table in (first, second))

    forth = paired_differences(labels, first, second, lesions.tolist(), seed=0, classes=HAM10000.codes)
    back = paired_differences(labels, second, first, lesions.tolist(), seed=0, classes=HAM10000.codes)

    for name in AVERAGES:
        assert forth[name].value == pytest.approx(one.averages[name].value - two.averages[name].value)
        assert forth[name].p == pytest.approx(back[name].p)
        low, high = back[name].interval
        assert forth[name].interval == pytest.approx((-high, -low))


@pytest.mark.slow
def test_pairing_sees_what_separate_intervals_do_not():
    labels, first, second, lesions = _scores(np.random.default_rng(1), 800, gain=0.12)

    found = paired_differences(labels, first, second, lesions.tolist(), seed=0, classes=HAM10000.codes)["macro_f1"]

    separate = [
        intervals(labels, table, lesions.tolist(), seed=0, classes=HAM10000.codes)["macro_f1"]
        for table in (first, second)
    ]
    assert separate[0][1] > separate[1][0]  # they overlap
    assert found.interval[1] < 0
    assert found.p < 0.05
    width = found.interval[1] - found.interval[0]
    assert width < 0.8 * (separate[0][1] - separate[0][0])


def test_a_model_does_not_differ_from_itself():
    labels, first, _, lesions = _scores(np.random.default_rng(2), 100)

    found = paired_differences(labels, first, first, lesions.tolist(), seed=0, classes=HAM10000.codes)

    assert found == {name: Difference(value=0, interval=(0, 0), p=1) for name in AVERAGES}


@pytest.mark.slow
def test_between_equals_one_comparison_in_twenty_is_a_false_alarm():
    random = np.random.default_rng(3)
    alarms = 0
    for _ in range(60):
        labels, first, second, lesions = _scores(random, 200)
        alarms += (
            paired_differences(labels, first, second, lesions.tolist(), seed=0, resamples=300, classes=HAM10000.codes)[
                "macro_f1"
            ].p
            < 0.05
        )
    assert alarms <= 8  # 3 expected; more than 8 come once in 300 tries


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), images=st.integers(1, 40), classes=st.integers(1, 7), lesions=st.integers(1, 20))
def test_whatever_the_images_a_difference_is_whole_or_absent(seed: int, images: int, classes: int, lesions: int):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, images)
    first, second = random.dirichlet(np.ones(7), (2, images))
    ids = [str(index) for index in random.integers(0, lesions, images)]

    found = paired_differences(labels, first, second, ids, seed=0, resamples=50, classes=HAM10000.codes)

    complete = len(set(labels.tolist())) == 7
    for name in AVERAGES:
        value, (low, high), p = found[name].value, found[name].interval, found[name].p
        if value is None:
            assert not complete
            assert (low, high, p) == (None, None, None)
        else:
            assert low <= value <= high
            assert 0 <= p <= 1
            assert np.isfinite([low, high]).all()
    assert (found["macro_f1"].value is None) == (not complete)
    assert found["accuracy"].value is not None
