"""Tables are checked where they are written and where they are read, and say in a sentence what is wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lesionflow.artifacts.table import Table, write_table
from lesionflow.artifacts.tables import Balanced, Labelled, Pooled, Quarantine, Scores, Split
from lesionflow.errors import UserError

BALANCED = pd.DataFrame(
    {
        "image_id": ["a", "b"],
        "lesion_id": ["l", "m"],
        "dx": ["nv", "mel"],
        "subset": "train",
        "weight": [0.5, 1.5],
        "sampling_weight": 1.0,
        "unrelated": 7,
    }
)
SCORES = BALANCED[["image_id", "lesion_id", "dx"]].assign(
    predicted=["nv", None], p_nv=np.array([0.75, np.nan], np.float32), p_mel=np.array([0.25, np.nan], np.float32)
)


@pytest.mark.parametrize(
    ("kind", "table", "columns"),
    [
        (Split, BALANCED, ["image_id", "lesion_id", "dx", "subset"]),
        (Balanced, BALANCED, ["image_id", "lesion_id", "dx", "subset", "weight", "sampling_weight"]),
        (Labelled, SCORES, ["image_id", "lesion_id", "dx"]),
        (Scores, SCORES[[*SCORES.columns[::-1]]], ["image_id", "lesion_id", "dx", "predicted", "p_mel", "p_nv"]),
        (Quarantine, pd.DataFrame(columns=["item", "file", "reason"], dtype="str"), ["item", "file", "reason"]),
    ],
)
def test_a_table_is_read_as_it_was_written_without_what_is_not_its(
    tmp_path: Path, kind: type[Table], table: pd.DataFrame, columns: list[str]
) -> None:
    kind.store(table, tmp_path / "table")
    pd.testing.assert_frame_equal(kind.load(tmp_path / "table"), table[columns])
    assert list(pd.read_parquet(tmp_path / "table")) == columns


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"image_id": "a"}, r"has an image twice \(a\)"),
        ({"lesion_id": ["l", None]}, "has nothing in row 1 of the column lesion_id; expected the id of the lesion"),
        ({"dx": 1}, "holds 1 in the column dx; expected the code of a class"),
        ({"subset": ["train", "judged"]}, "has 'judged' in row 1 of the column subset; .*: train, validation or test"),
        ({"weight": [1.0, -0.5]}, "has -0.5 in row 1 of the column weight; expected what the row's loss is multiplied"),
        ({"weight": [np.nan, 1.0]}, "has nothing in row 0 of the column weight"),
        ({"weight": "heavy"}, "has 'heavy' in row 0 of the column weight; expected what the row's loss"),
        ({"sampling_weight": 0.0}, "has only zero values in the column sampling_weight; expected how often"),
    ],
)
def test_what_does_not_hold_is_one_sentence(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    write_table(BALANCED.assign(**change), tmp_path / "table")
    with pytest.raises(UserError, match=f"^The table {tmp_path}/table {problem}.*; run the step that wrote it") as read:
        Balanced.load(tmp_path / "table")
    assert "\n" not in str(read.value)
    with pytest.raises(UserError, match=f"^The table for {tmp_path}/other {problem}"):
        Balanced.store(BALANCED.assign(**change), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_table(BALANCED.drop(columns=["dx", "weight"]), tmp_path / "table")
    with pytest.raises(UserError, match="has no column dx, weight; it has image_id, lesion_id, subset"):
        Balanced.load(tmp_path / "table")
    write_table(SCORES[["image_id", "lesion_id", "dx", "predicted"]], tmp_path / "table")
    with pytest.raises(UserError, match=r"has no column p_\.\+; expected p_<code>"):
        Scores.load(tmp_path / "table")


def test_a_probability_is_in_0_to_1_or_no_number_at_all(tmp_path: Path) -> None:
    write_table(SCORES.assign(p_nv=[0.5, 1.5]), tmp_path / "table")
    with pytest.raises(UserError, match=r"has 1\.5 in row 1 of the column p_nv; expected p_<code>, a class's probab"):
        Scores.load(tmp_path / "table")


def test_what_a_broken_model_answered_is_kept_as_it_is(tmp_path: Path) -> None:
    answered = SCORES.assign(p_nv=[np.nan, np.inf], p_mel=[-np.inf, 0.5], predicted=None)
    Scores.store(answered, tmp_path / "table")
    pd.testing.assert_frame_equal(Scores.load(tmp_path / "table")[["p_nv", "p_mel"]], answered[["p_nv", "p_mel"]])


def test_folds_count_from_1(tmp_path: Path) -> None:
    Pooled.store(SCORES.assign(fold=[1, 2]), tmp_path / "table")
    with pytest.raises(UserError, match="has 0 in row 1 of the column fold; expected the number of the fold"):
        Pooled.store(SCORES.assign(fold=[1, 0]), tmp_path / "table")


def test_an_empty_table_holds(tmp_path: Path) -> None:
    Balanced.store(BALANCED.head(0), tmp_path / "table")
    assert Balanced.load(tmp_path / "table").empty


def test_every_column_says_what_it_is() -> None:
    for kind in (Split, Balanced, Scores, Pooled, Quarantine):
        assert kind.__doc__
        assert all(field.description for field in kind.to_schema().columns.values())


def test_columns_are_named_by_attribute() -> None:
    assert BALANCED[Split.dx].tolist() == ["nv", "mel"]
