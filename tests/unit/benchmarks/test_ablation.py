"""The bookkeeping of the ablation: rows, results, intervals. Its training is what tests/finetune covers."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lesionflow.metrics.bootstrap import Bootstrap
from lesionflow.metrics.classification import class_statistic
from lesionflow.taxonomy import HAM10000

_SPEC = importlib.util.spec_from_file_location("ablation", Path(__file__).parents[3] / "benchmarks" / "ablation.py")
assert _SPEC is not None
assert _SPEC.loader is not None
ablation: Any = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(ablation)


def test_every_row_is_a_recipe_of_its_own():
    recipes = {row: ablation.recipe_of(row, 64, "tiny") for row in ablation.ROWS}
    assert len({recipe.model_dump_json() for recipe in recipes.values()}) == len(ablation.ROWS)
    assert recipes["larger"].input_size == 96
    assert recipes["longer"].partial.learning_rate == recipes["base"].partial.learning_rate


def images(seed: int, size: int = 300) -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = random.integers(0, 7, size)
    predicted = np.where(random.random(size) < 0.6, truth, random.integers(0, 7, size))
    lesions = [f"L{index // 2}" for index in range(size)]
    return pd.DataFrame({"dx": [HAM10000.codes[index] for index in truth], "lesion_id": lesions}), predicted


def test_resamples_are_those_of_the_evaluation():
    judged, predicted = images(0)
    truth = np.array([HAM10000.codes.index(dx) for dx in judged["dx"]])
    samples = ablation.macro_f1_samples(truth, predicted, judged["lesion_id"].tolist())
    bootstrap = Bootstrap(judged["lesion_id"].tolist(), seed=0, resamples=1000, strata=truth)
    expected = bootstrap.samples(class_statistic(truth, np.eye(7)[predicted], classes=HAM10000.codes))["macro_f1"]
    assert samples[1:] == pytest.approx(expected)


def test_the_table_pairs_differences_by_seed():
    judged, first = images(0)
    truth = np.array([HAM10000.codes.index(dx) for dx in judged["dx"]])
    second = np.where(np.arange(300) % 3 == 0, 0, first)

    def record(row: str, seed: int, predicted: np.ndarray) -> dict[str, Any]:
        digits = "".join(map(str, predicted))
        return {
            "row": row,
            "seed": seed,
            "predicted": digits,
            "seconds": 10.0,
            "cpu_seconds": 20.0,
            "epochs_trained": 9,
        }

    records = [record("base", 0, second), record("crop", 0, truth), record("base", 1, first), record("crop", 1, first)]
    records[3] |= {"seconds": 1.0, "epochs_trained": 2}  # resumed: what it cost is not known
    _, _, base, crop = ablation.table(records, judged).splitlines()
    assert base.startswith("| base |  | 0.")
    cells = crop.split(" | ")
    assert cells[1] == "augmentation.crop 0.6"
    gain = 1 - ablation.macro_f1_samples(truth, second, judged["lesion_id"].tolist())[0]
    assert cells[3].startswith(f"{gain / 2:+.3f} (")
    assert cells[4:] == [f"{gain:+.3f}, +0.000", "10", "20 |"]
