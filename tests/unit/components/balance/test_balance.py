"""Balancing: what training sees of each class, and that only one thing is corrected."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lesionflow.artifacts.table import write_table
from lesionflow.artifacts.tables import Balanced
from lesionflow.components.balance.balance import balance_table
from lesionflow.data.balancing import STRATEGIES
from lesionflow.data.balancing.effective_number import BETA
from lesionflow.errors import UserError
from lesionflow.recipe import Recipe
from lesionflow.taxonomy import HAM10000

class_counts = st.fixed_dictionaries({label: st.integers(1, 300) for label in HAM10000.codes})
HAM_TRAIN = {"akiec": 229, "bcc": 360, "bkl": 769, "df": 80, "mel": 779, "nv": 4694, "vasc": 99}


def write_train(folder: Path, counts: dict[str, int], fold: str = "train") -> Path:
    dx = [label for label, count in counts.items() for _ in range(count)]
    ids = [f"ISIC_{number:07d}" for number in range(len(dx))]
    table = pd.DataFrame({"image_id": ids, "lesion_id": ids, "dx": dx, "subset": fold})
    write_table(table.sample(frac=1, random_state=0), folder / "train.parquet")
    return folder / "train.parquet"


def balanced(folder: Path, counts: dict[str, int], strategy: str) -> pd.DataFrame:
    balance_table(write_train(folder, counts), folder / "out.parquet", folder / "out.html", strategy=strategy)
    return Balanced.load(folder / "out.parquet")


def test_every_strategy_of_a_recipe_exists_and_no_other():
    assert Recipe.model_json_schema()["properties"]["balance"]["enum"] == list(STRATEGIES)
    for name in STRATEGIES:
        assert Recipe.model_validate({"balance": name}).balance == name
    with pytest.raises(ValidationError, match="'class-weight'"):
        Recipe.model_validate({"balance": "smote"})


@settings(max_examples=60, deadline=None)
@given(class_counts, st.sampled_from(sorted(STRATEGIES)))
def test_an_epoch_costs_the_same_the_mean_weight_is_one_and_only_one_thing_is_corrected(
    counts: dict[str, int], strategy: str
):
    sizes = np.array(list(counts.values()))
    weight, draws = STRATEGIES[strategy].rows(sizes)
    assert (draws * sizes).sum() == pytest.approx(sizes.sum(), rel=1e-12)
    assert (weight * sizes).sum() == pytest.approx(sizes.sum(), rel=1e-12)
    assert (weight == 1).all() or (draws == 1).all()
    assert (weight > 0).all()
    assert (draws > 0).all()


@settings(max_examples=60, deadline=None)
@given(class_counts, st.sampled_from(sorted(STRATEGIES)))
def test_rarer_classes_never_count_less_per_image_nor_more_in_all(counts: dict[str, int], strategy: str):
    sizes = np.sort(np.array(list(counts.values())))
    weight, draws = STRATEGIES[strategy].rows(sizes)
    per_image = weight * draws
    assert (np.diff(per_image) <= 1e-9).all()
    assert (np.diff(per_image * sizes) >= -1e-6).all()


@settings(max_examples=60, deadline=None)
@given(class_counts)
def test_shares_of_the_classes_are_those_the_strategy_names(counts: dict[str, int]):
    sizes = np.array(list(counts.values()))

    def shares(strategy: str) -> list[float]:
        weight, draws = STRATEGIES[strategy].rows(sizes)
        return list(weight * draws * sizes / sizes.sum())

    seventh = [1 / 7] * 7
    effective = sizes * (1 - BETA) / (1 - BETA**sizes)
    assert shares("none") == pytest.approx(list(sizes / sizes.sum()))
    assert shares("oversample") == pytest.approx(seventh)
    assert shares("class-weight") == pytest.approx(seventh)
    assert shares("sqrt") == pytest.approx(list(np.sqrt(sizes) / np.sqrt(sizes).sum()))
    assert shares("effective-number") == pytest.approx(list(effective / effective.sum()))


def test_effective_number_lies_between_no_correction_and_equal_shares():
    sizes = np.array(list(HAM_TRAIN.values()))
    ratio = {name: (lambda w, d: (w * d).max() / (w * d).min())(*STRATEGIES[name].rows(sizes)) for name in STRATEGIES}
    assert ratio["none"] == 1
    assert 1.5 * ratio["sqrt"] < ratio["effective-number"] < 0.5 * ratio["class-weight"]
    assert ratio["class-weight"] == pytest.approx(4694 / 80)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(HAM10000.codes), st.integers(1, 40), min_size=1),
    st.sampled_from(sorted(STRATEGIES)),
)
def test_the_table_keeps_its_rows_and_order_whatever_classes_it_has(
    tmp_path: Path, counts: dict[str, int], strategy: str
):
    table = balanced(tmp_path, counts, strategy)
    before = pd.read_parquet(tmp_path / "train.parquet")
    pd.testing.assert_frame_equal(table[list(before.columns)], before)
    assert (table.groupby("dx")[["weight", "sampling_weight"]].nunique() == 1).all(axis=None)
    assert table["sampling_weight"].sum() == pytest.approx(len(table))
    assert table["weight"].mean() == pytest.approx(1)


def test_the_recipe_decides_unless_a_strategy_is_given(tmp_path: Path):
    train = write_train(tmp_path, HAM_TRAIN)
    out = tmp_path / "out.parquet", tmp_path / "out.html"
    assert balance_table(train, *out, recipe="published").strategy == "oversample"
    assert balance_table(train, *out, recipe='{"balance": "class-weight"}').strategy == "class-weight"
    assert balance_table(train, *out, recipe="published", strategy="none").strategy == "none"


def test_the_metrics_and_the_picture_show_before_and_after(tmp_path: Path):
    train = write_train(tmp_path, HAM_TRAIN)
    metrics = balance_table(train, tmp_path / "out.parquet", tmp_path / "out.html", strategy="oversample")
    assert metrics.before == HAM_TRAIN
    assert metrics.after == dict.fromkeys(HAM10000.codes, round(7010 / 7, 1))
    page = (tmp_path / "out.html").read_text()
    assert "<svg" in page
    assert "oversample" in page
    for shown in ("4,694", "80", "1,001", *HAM10000.codes):
        assert f">{shown}<" in page


@pytest.mark.parametrize(
    ("fold", "counts", "settings", "message"),
    [
        (
            "train",
            HAM_TRAIN,
            {"strategy": "smote"},
            "no balancing strategy 'smote'; expected one of class-weight, .*, sqrt",
        ),
        ("train", HAM_TRAIN, {"recipe": "no-such-recipe"}, "no recipe 'no-such-recipe'"),
        ("test", HAM_TRAIN, {}, "holds test; expected the training table"),
        ("train", {}, {}, "holds no rows; expected the training table"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, fold: str, counts: dict[str, int], settings: dict[str, str], message: str
):
    train = write_train(tmp_path, counts, fold)
    with pytest.raises(UserError, match=message):
        balance_table(train, tmp_path / "out.parquet", tmp_path / "out.html", **settings)
    assert [path.name for path in tmp_path.iterdir()] == ["train.parquet"]


def test_a_file_that_is_no_table_is_refused(tmp_path: Path):
    (tmp_path / "train.parquet").write_text("image_id,dx\n")
    with pytest.raises(UserError, match="not a readable Parquet table"):
        balance_table(tmp_path / "train.parquet", tmp_path / "out.parquet", tmp_path / "out.html")


def test_the_adapter_hands_on_the_distribution(tmp_path: Path):
    from kfp.dsl import HTML, Dataset

    from lesionflow.components.balance.component import balance

    train = Dataset(uri=str(write_train(tmp_path, HAM_TRAIN)))
    out, picture = Dataset(uri=str(tmp_path / "o" / "balanced")), HTML(uri=str(tmp_path / "o" / "picture"))
    balance.python_func(train=train, balanced=out, picture=picture, recipe="quick")
    assert out.metadata["strategy"] == "sqrt"
    assert out.metadata["before"] == HAM_TRAIN
    assert Path(picture.path).read_text().startswith("<!DOCTYPE html>")
