"""`lf.measure`: predictions of any program, measured as the evaluation does."""

import numpy as np
import pandas as pd
import pytest

import lesionflow as lf
from lesionflow.metrics.classification import measure
from lesionflow.notebook.metrics import Estimate
from lesionflow.taxonomy import HAM10000

RANDOM = np.random.default_rng(0)
TRUTH = [label for label in HAM10000.codes for _ in range(6)]
PROBABILITIES = RANDOM.dirichlet(np.ones(len(HAM10000.codes)), len(TRUTH))
LESIONS = [f"L{row // 2}" for row in range(len(TRUTH))]


def test_it_says_what_the_evaluation_would():
    found = lf.measure(TRUTH, PROBABILITIES, LESIONS, seed=3)

    known = measure(np.repeat(np.arange(len(HAM10000.codes)), 6), PROBABILITIES, LESIONS, 3, classes=HAM10000.codes)
    assert found.macro_f1.value == known.macro_f1.value
    assert found.macro_f1.interval == known.macro_f1.interval
    assert found.per_class["mel"].recall.interval == known.per_class["mel"].recall.interval
    assert found.confusion_matrix.to_numpy().tolist() == [list(row) for row in known.confusion_matrix]


def test_a_table_is_read_by_its_columns_names_in_any_order():
    table = pd.DataFrame(PROBABILITIES, columns=list(HAM10000.codes))[list(reversed(HAM10000.codes))]

    assert lf.measure(TRUTH, table, LESIONS).macro_auc == lf.measure(TRUTH, PROBABILITIES, LESIONS).macro_auc
    assert lf.measure(TRUTH, table.add_prefix("p_"), LESIONS).macro_auc == lf.measure(TRUTH, table, LESIONS).macro_auc


def test_lesions_with_several_images_widen_the_interval():
    def width(found: Estimate) -> float:
        low, high = found.interval
        return high - low

    repeated = [LESIONS[row // 6 * 6] for row in range(len(TRUTH))]

    assert width(lf.measure(TRUTH, PROBABILITIES, repeated).accuracy) > width(lf.measure(TRUTH, PROBABILITIES).accuracy)


def test_it_shows_values_with_intervals():
    found = lf.measure(TRUTH, PROBABILITIES, LESIONS)

    low, high = found.accuracy.interval
    assert repr(found.accuracy) == f"{found.accuracy.value:.3f} ({low:.3f} to {high:.3f})"
    assert float(found.accuracy) == found.accuracy.value
    assert repr(found.accuracy) in repr(found)
    assert f'<td style="text-align:left">{found.accuracy!r}</td>' in found._repr_html_()


def test_a_class_without_images_has_no_metrics_and_no_average_pretends_otherwise():
    rows = [row for row, label in enumerate(TRUTH) if label != "df"]

    found = lf.measure([TRUTH[row] for row in rows], PROBABILITIES[rows])

    assert found.per_class["df"].recall.value is None
    assert repr(found.macro_f1) == "n/a"
    assert np.isnan(float(found.macro_f1))


@pytest.mark.parametrize(
    ("y", "p", "groups", "said"),
    [
        (["mel", "wart"], PROBABILITIES[:2], None, "There is no class 'wart'"),
        (TRUTH, PROBABILITIES[:2], None, "do not fit each other"),
        (TRUTH, PROBABILITIES, ["L1"], "do not fit each other"),
        (TRUTH, pd.DataFrame({"mel": PROBABILITIES[:, 0]}), None, "have no column akiec, bcc"),
        ([], np.empty((0, 7)), None, "n above 0"),
    ],
)
def test_what_does_not_fit_is_a_sentence(y: list[str], p: np.ndarray, groups: list[str] | None, said: str):
    with pytest.raises(lf.UserError, match=said):
        lf.measure(y, p, groups)
