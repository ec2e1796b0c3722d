"""What the gate's policy must never let through."""

import copy
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.common.errors import UserError
from components.common.metrics import AVERAGES
from components.common.taxonomy import LABELS
from components.gate.policy import judge

SHARES = st.floats(0, 1)
NO_NUMBERS = st.sampled_from([None, math.nan, math.inf, -math.inf, "0.9", True, [], {}, 1.01, -0.5])
METRICS = st.sampled_from(sorted(AVERAGES))


@st.composite
def sound_metrics(draw: st.DrawFn) -> dict:
    """Metrics of any model on a test set that has all classes."""
    return {
        **{name: draw(SHARES) for name in AVERAGES},
        "per_class": {
            label: {**{key: draw(SHARES) for key in ("precision", "recall", "f1")}, "support": draw(st.integers(1, 9))}
            for label in LABELS
        },
        "invalid_predictions": 0,
    }


@given(sound_metrics(), METRICS, st.floats(0.001, 1))
def test_sound_figures_pass_exactly_if_they_reach_the_threshold(metrics, name, threshold):
    verdict = judge(metrics, name, threshold)

    assert (verdict.verdict == "passed") == (metrics[name] >= threshold)
    assert bool(verdict.reasons) == (verdict.verdict == "failed")
    assert verdict.value == metrics[name]


@given(sound_metrics(), METRICS, NO_NUMBERS)
def test_a_metric_that_is_no_share_never_passes(metrics, name, broken):
    metrics[name] = broken

    verdict = judge(metrics, name, 0.001)

    assert verdict.verdict == "failed"
    assert verdict.value is None


@given(sound_metrics(), METRICS)
def test_a_metric_that_is_absent_never_passes(metrics, name):
    del metrics[name]

    assert judge(metrics, name, 0.001).verdict == "failed"


@given(sound_metrics(), METRICS, st.sampled_from(LABELS), st.sampled_from([0, None, -1, math.nan, "absent", True, {}]))
def test_a_class_without_test_images_never_passes(metrics, name, label, support):
    metrics |= dict.fromkeys(AVERAGES, 1.0)
    if support == "absent":
        del metrics["per_class"][label]
    else:
        metrics["per_class"][label]["support"] = support

    verdict = judge(metrics, name, 0.001)

    assert verdict.verdict == "failed"
    assert label in verdict.reasons[0]


@given(sound_metrics(), METRICS, st.sampled_from(LABELS), st.sampled_from(["precision", "recall", "f1"]), NO_NUMBERS)
def test_a_class_with_broken_figures_never_passes(metrics, name, label, figure, broken):
    metrics |= dict.fromkeys(AVERAGES, 1.0)
    metrics["per_class"][label][figure] = broken

    assert judge(metrics, name, 0.001).verdict == "failed"


@given(sound_metrics(), METRICS, st.sampled_from([None, [], "figures", 7]))
@settings(max_examples=20)
def test_figures_of_no_class_never_pass(metrics, name, per_class):
    metrics["per_class"] = per_class

    assert judge(metrics, name, 0.001).verdict == "failed"


@given(sound_metrics())
@settings(max_examples=20)
def test_judging_changes_nothing(metrics):
    before = copy.deepcopy(metrics)
    judge(metrics, "macro_f1", 0.5)
    assert metrics == before


def test_predictions_that_are_not_numbers_never_pass():
    metrics = {**dict.fromkeys(AVERAGES, 1.0), "invalid_predictions": 2}
    metrics["per_class"] = {label: {"precision": 1, "recall": 1, "f1": 1, "support": 3} for label in LABELS}

    assert judge(metrics, "macro_f1", 0.5).reasons == (
        "The model gave probabilities that are not numbers for 2 images.",
    )


def test_an_unknown_metric_is_named_with_those_to_choose_from():
    with pytest.raises(UserError, match=r"'f1'.*macro_f1, weighted_f1, balanced_accuracy, accuracy, macro_auc"):
        judge({}, "f1", 0.7)


@pytest.mark.parametrize("threshold", [0, -0.1, 1.01, math.nan, math.inf])
def test_a_threshold_outside_its_range_is_refused(threshold):
    with pytest.raises(UserError, match="above 0 and not above 1"):
        judge({}, "macro_f1", threshold)
