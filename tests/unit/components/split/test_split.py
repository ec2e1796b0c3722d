"""Splitting by lesion: nothing on two sides, every class in every fold, shares as asked."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lesionflow.artifacts.images import SCHEMA, shard_name, write_taxonomy
from lesionflow.artifacts.tables import Split
from lesionflow.components.split.split import SUBSETS, choose_subsets, split_images
from lesionflow.data.splitting.assign import join_groups
from lesionflow.data.splitting.leaks import SplitLeakError, check_no_leak
from lesionflow.errors import UserError
from lesionflow.taxonomy import HAM10000


def build_metadata(lesion_sizes: Mapping[str, list[int]]) -> pd.DataFrame:
    """One row per image, for classes whose lesions have the given numbers of images."""
    rows: list[tuple[str, str, str, str]] = []
    lesions = [(dx, size) for dx, sizes in lesion_sizes.items() for size in sizes]
    for number, (dx, size) in enumerate(lesions):
        for _ in range(size):
            image_id = f"ISIC_{len(rows):07d}"
            rows.append(
                (image_id, f"HAM_{number * 7919 % 10007:07d}", dx, hashlib.sha256(image_id.encode()).hexdigest())
            )
    return pd.DataFrame(rows, columns=["image_id", "lesion_id", "dx", "sha256"])


def write_images(folder: Path, metadata: pd.DataFrame) -> Path:
    """An images artifact whose images are a byte long."""
    folder.mkdir()
    full = metadata.assign(width=1, height=1, image=[{"bytes": b"x", "path": name} for name in metadata["image_id"]])
    full = full.reindex(columns=SCHEMA.names).astype(object).where(lambda table: table.notna(), None)
    write_taxonomy(folder, HAM10000)
    pq.write_table(pa.Table.from_pandas(full, schema=SCHEMA, preserve_index=False), folder / shard_name(0, 1))
    return folder


def paths(folder: Path) -> dict[str, Path]:
    return {fold: folder / f"{fold}.parquet" for fold in SUBSETS}


PLENTY = build_metadata({dx: [1] * 30 + [2] * 8 + [3] * 3 for dx in HAM10000.codes})
sizes = st.lists(st.integers(1, 4), min_size=6, max_size=14)
metadata_tables = st.fixed_dictionaries(dict.fromkeys(HAM10000.codes, sizes)).map(build_metadata)
shares = st.tuples(st.floats(0.05, 0.45), st.floats(0.05, 0.45))
seeds = st.integers(0, 2**32)


@st.composite
def joined_tables(draw: st.DrawFn) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """A metadata table with up to two duplicate pairs and one identical content, across any lesions."""
    metadata = draw(metadata_tables)
    row = st.integers(0, len(metadata) - 1)
    pairs = draw(st.lists(st.tuples(row, row), max_size=2))
    one, other = draw(st.tuples(row, row))
    metadata.loc[one, "sha256"] = metadata.loc[other, "sha256"]
    return metadata, [(metadata["image_id"][a], metadata["image_id"][b]) for a, b in pairs]


@settings(max_examples=40, deadline=None)
@given(joined_tables(), shares, seeds)
def test_every_image_is_in_one_fold_with_its_lesion_its_duplicates_and_its_likeness(
    joined: tuple[pd.DataFrame, list[tuple[str, str]]], wanted: tuple[float, float], seed: int
):
    metadata, pairs = joined
    folds = choose_subsets(metadata, join_groups(metadata, pairs), None, seed, *wanted, HAM10000)
    assert folds.isin(SUBSETS).all()
    assert (folds.groupby(metadata["lesion_id"]).nunique() == 1).all()
    assert (folds.groupby(metadata["sha256"]).nunique() == 1).all()
    fold_of = dict(zip(metadata["image_id"], folds, strict=True))
    assert all(fold_of[one] == fold_of[other] for one, other in pairs)
    present = pd.crosstab(metadata["dx"], folds).reindex(
        index=list(HAM10000.codes), columns=list(SUBSETS), fill_value=0
    )
    assert (present > 0).all(axis=None)


@settings(max_examples=40, deadline=None)
@given(metadata_tables, shares, seeds)
def test_folds_hold_their_share_of_each_class_as_closely_as_whole_lesions_allow(
    metadata: pd.DataFrame, wanted: tuple[float, float], seed: int
):
    folds = choose_subsets(metadata, join_groups(metadata, []), None, seed, *wanted, HAM10000)
    target = dict(zip(SUBSETS, (1 - sum(wanted), *wanted), strict=True))
    for dx, rows in metadata.groupby("dx"):
        largest = rows["lesion_id"].value_counts().max()
        for fold in SUBSETS:
            assert abs((folds[rows.index] == fold).sum() - target[fold] * len(rows)) <= 2 * largest, (dx, fold)


@pytest.mark.parametrize("seed", range(5))
def test_with_enough_lesions_shares_are_right_to_one_image(seed: int):
    folds = choose_subsets(PLENTY, join_groups(PLENTY, []), None, seed, 0.1, 0.2, HAM10000)
    counts = pd.crosstab(folds, PLENTY["dx"])
    for fold, share in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
        assert (abs(counts.loc[fold] - share * counts.sum()) <= 1).all()


def test_lesions_photographed_often_are_spread_over_the_folds_like_the_others():
    seen = np.zeros(3)
    often = PLENTY["lesion_id"].map(PLENTY["lesion_id"].value_counts()) == 3
    for seed in range(20):
        folds = choose_subsets(PLENTY, join_groups(PLENTY, []), None, seed, 0.1, 0.2, HAM10000)
        seen += [(folds[often] == fold).mean() / 20 for fold in SUBSETS]
    assert seen == pytest.approx([0.7, 0.1, 0.2], abs=0.06)


@settings(max_examples=20, deadline=None)
@given(joined_tables(), seeds, st.randoms(use_true_random=False))
def test_a_split_depends_on_the_seed_and_not_on_the_order_of_rows_or_pairs(
    joined: tuple[pd.DataFrame, list[tuple[str, str]]], seed: int, random
):
    metadata, pairs = joined
    order = list(metadata.index)
    random.shuffle(order)
    shuffled = metadata.loc[order].reset_index(drop=True)
    folds = choose_subsets(metadata, join_groups(metadata, pairs), None, seed, 0.1, 0.2, HAM10000)
    again = choose_subsets(shuffled, join_groups(shuffled, pairs[::-1]), None, seed, 0.1, 0.2, HAM10000)
    assert dict(zip(metadata["image_id"], folds, strict=True)) == dict(zip(shuffled["image_id"], again, strict=True))


def test_another_seed_gives_another_split():
    splits = [
        tuple(choose_subsets(PLENTY, join_groups(PLENTY, []), None, seed, 0.1, 0.2, HAM10000)) for seed in range(5)
    ]
    assert len(set(splits)) == 5


@settings(max_examples=30, deadline=None)
@given(joined_tables(), seeds, st.data())
def test_a_fixed_test_set_is_exactly_the_list_and_nothing_like_it_is_trained_on(
    joined: tuple[pd.DataFrame, list[tuple[str, str]]], seed: int, data: st.DataObject
):
    metadata, pairs = joined
    per_class = [data.draw(st.sampled_from(sorted(rows["image_id"]))) for _, rows in metadata.groupby("dx")]
    groups = join_groups(metadata, pairs)
    folds = choose_subsets(metadata, groups, set(per_class), seed, 0.1, 0.2, HAM10000)
    listed = metadata["image_id"].isin(per_class)
    assert ((folds == "test") == listed).all()
    assert ((folds == "") == (groups.isin(groups[listed]) & ~listed)).all()
    check_no_leak(metadata[folds != ""], folds[folds != ""], pairs)


@settings(max_examples=30, deadline=None)
@given(joined_tables(), st.integers(3, 4), seeds)
def test_each_image_is_tested_in_exactly_one_fold_of_a_cross_validation(
    joined: tuple[pd.DataFrame, list[tuple[str, str]]], k: int, seed: int
):
    metadata, pairs = joined
    groups = join_groups(metadata, pairs)
    assume(pd.crosstab(metadata["dx"], groups).gt(0).sum(axis=1).min() >= k)
    sides = [choose_subsets(metadata, groups, None, seed, 0.1, 0.2, HAM10000, k, fold) for fold in range(k)]
    assert (sum((side == "test").astype(int) for side in sides) == 1).all()
    for side in sides:
        assert side.isin(SUBSETS).all()
        check_no_leak(metadata, side, pairs)
        present = pd.crosstab(metadata["dx"], side).reindex(
            index=list(HAM10000.codes), columns=list(SUBSETS), fill_value=0
        )
        assert (present > 0).all(axis=None)


def test_the_parts_of_a_cross_validation_are_equal_and_the_rest_keeps_its_proportion():
    groups = join_groups(PLENTY, [])
    for fold in range(5):
        counts = pd.crosstab(choose_subsets(PLENTY, groups, None, 1, 0.1, 0.2, HAM10000, 5, fold), PLENTY["dx"])
        assert (abs(counts.loc["test"] - counts.sum() / 5) <= 2).all()
        assert (abs(counts.loc["validation"] - (counts.sum() - counts.loc["test"]) / 8) <= 1).all()


def test_a_chain_of_pairs_and_identical_contents_holds_lesions_together():
    metadata = build_metadata({dx: [1] * 5 for dx in HAM10000.codes})
    ids = metadata["image_id"]
    metadata.loc[2, "sha256"] = metadata.loc[1, "sha256"]
    groups = join_groups(metadata, [(ids[0], ids[1]), (ids[2], ids[3])])
    assert groups[:4].nunique() == 1
    assert groups.nunique() == len(metadata) - 3


@pytest.mark.parametrize("column", ["lesion_id", "sha256", "image_id"])
def test_the_safety_net_catches_what_sits_on_two_sides(column: str):
    folds = choose_subsets(PLENTY, join_groups(PLENTY, []), None, 0, 0.1, 0.2, HAM10000)
    assert check_no_leak(PLENTY, folds, [])["lesions"] == PLENTY["lesion_id"].nunique()
    corrupted = PLENTY.copy()
    in_train, in_test = folds[folds == "train"].index[0], folds[folds == "test"].index[0]
    corrupted.loc[in_train, column] = corrupted.loc[in_test, column]
    with pytest.raises(SplitLeakError, match="test, train"):
        check_no_leak(corrupted, folds, [])


def test_the_safety_net_catches_a_duplicate_pair_on_two_sides():
    folds = choose_subsets(PLENTY, join_groups(PLENTY, []), None, 0, 0.1, 0.2, HAM10000)
    one, other = (PLENTY["image_id"][folds[folds == fold].index[0]] for fold in ("train", "validation"))
    with pytest.raises(SplitLeakError, match=f"{one} and {other}"):
        check_no_leak(PLENTY, folds, [(one, other)])


def test_tables_lie_on_disk_with_their_metrics(tmp_path: Path):
    images = write_images(tmp_path / "images", PLENTY)
    (tmp_path / "pairs.csv").write_text(f"{PLENTY['image_id'][0]},{PLENTY['image_id'][1]}\n")
    metrics = split_images(images, paths(tmp_path), seed=1, duplicate_pairs=str(tmp_path / "pairs.csv"))
    tables = {fold: Split.load(path) for fold, path in paths(tmp_path).items()}
    for fold, table in tables.items():
        assert (table["subset"] == fold).all()
        assert table["image_id"].is_monotonic_increasing
        assert metrics[fold]["images"] == len(table)
        assert metrics[fold]["lesions"] == table["lesion_id"].nunique()
        assert metrics[fold]["counts"] == {dx: int((table["dx"] == dx).sum()) for dx in HAM10000.codes}
    everything = pd.concat(tables.values()).merge(PLENTY, on=["image_id", "lesion_id", "dx"])
    assert sorted(everything["image_id"]) == sorted(PLENTY["image_id"])
    assert metrics["left_out"] == 0
    assert metrics["joined_lesions"] == 1
    assert metrics["leak_check"]["passed"] is True
    assert metrics["leak_check"]["duplicate_pairs_checked"] == 1


def test_pairs_that_were_found_are_kept_together_and_none_is_no_mistake(tmp_path: Path):
    images = write_images(tmp_path / "images", PLENTY)
    header = "image_id_1,image_id_2,lesion_id_1,lesion_id_2\n"
    sides: list[pd.Series[str]] = []
    for found in ("", header, header + "{},{},a,b\n".format(*apart(images, tmp_path))):
        table = tmp_path / "found.csv"
        table.write_text(found)
        metrics = split_images(images, paths(tmp_path), seed=1, found_pairs=table if found else "")
        sides.append(side_of(tmp_path))
    pd.testing.assert_series_equal(sides[0], sides[1])
    one, other = table.read_text().splitlines()[1].split(",")[:2]
    assert sides[1][one] != sides[1][other]
    assert sides[2][one] == sides[2][other]
    assert metrics["leak_check"]["duplicate_pairs_checked"] == 1


def side_of(folder: Path) -> "pd.Series[str]":
    """The fold of each image, by the tables that were written."""
    tables = [Split.load(path) for path in paths(folder).values()]
    return pd.concat(tables).set_index("image_id")["subset"].sort_index()


def apart(images: Path, folder: Path) -> tuple[str, str]:
    """Two images of different lesions that a split without pairs sends to different folds."""
    split_images(images, paths(folder), seed=1)
    sides = side_of(folder)
    return sides.index[0], sides[sides != sides.iloc[0]].index[0]


def test_the_same_split_is_the_same_bytes(tmp_path: Path):
    images = write_images(tmp_path / "images", PLENTY)
    shuffled = write_images(tmp_path / "shuffled", PLENTY.sample(frac=1, random_state=1))
    for name, source in (("a", images), ("b", shuffled)):
        (tmp_path / name).mkdir()
        split_images(source, paths(tmp_path / name))
    for fold in SUBSETS:
        assert paths(tmp_path / "a")[fold].read_bytes() == paths(tmp_path / "b")[fold].read_bytes()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"validation_share": 0.0}, "validation_share is 0.0"),
        ({"validation_share": float("nan")}, "validation_share is nan"),
        ({"test_share": 1.0}, "test_share is 1.0"),
        ({"test_share": -0.2}, "test_share is -0.2"),
        ({"validation_share": 0.5, "test_share": 0.5}, "leave nothing to train on"),
        ({"seed": -1}, "seed is -1"),
        ({"duplicate_pairs": "no-such.csv"}, "no-such.csv cannot be read"),
        ({"fixed_test": "no-such.csv"}, "no-such.csv cannot be read"),
        ({"folds": 1}, "folds is 1"),
        ({"folds": -5}, "folds is -5"),
        ({"folds": 5, "fold": 5}, "fold is 5; expected one of the 5 folds"),
        ({"folds": 5, "fold": -1}, "fold is -1"),
        ({"folds": 42}, "42 subsets need at least 42"),
        ({"folds": 5, "fixed_test": "list.csv"}, "exclude each other"),
    ],
)
def test_bad_settings_are_one_sentence_and_leave_nothing(tmp_path: Path, settings: dict[str, object], message: str):
    images = write_images(tmp_path / "images", PLENTY)
    with pytest.raises(UserError, match=message):
        split_images(images, paths(tmp_path), **settings)  # pyright: ignore[reportArgumentType]
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_a_class_that_cannot_be_split_is_named():
    lacking = PLENTY[PLENTY["dx"] != "df"]
    with pytest.raises(UserError, match="no images of df"):
        choose_subsets(lacking, join_groups(lacking, []), None, 0, 0.1, 0.2, HAM10000)
    few = build_metadata({dx: [1] * 9 for dx in HAM10000.codes} | {"vasc": [5, 1]})
    with pytest.raises(UserError, match="class vasc has 2 separate lesions"):
        choose_subsets(few, join_groups(few, []), None, 0, 0.1, 0.2, HAM10000)


def test_pairs_that_leave_a_class_too_few_separate_lesions_are_refused():
    metadata = build_metadata({dx: [1] * 9 for dx in HAM10000.codes} | {"df": [1, 1, 1]})
    df = list(metadata.loc[metadata["dx"] == "df", "image_id"])
    with pytest.raises(UserError, match="class df has 2 separate lesions"):
        choose_subsets(metadata, join_groups(metadata, [(df[0], df[1])]), None, 0, 0.1, 0.2, HAM10000)


def test_a_fixed_test_set_without_one_of_the_classes_is_refused():
    some = set(PLENTY.loc[PLENTY["dx"] != "akiec", "image_id"][::5])
    with pytest.raises(UserError, match="no images of akiec"):
        choose_subsets(PLENTY, join_groups(PLENTY, []), some, 0, 0.1, 0.2, HAM10000)


def test_a_fixed_test_set_that_takes_all_lesions_of_a_class_is_refused():
    everything = set(PLENTY.loc[PLENTY["dx"] == "bcc", "image_id"]) | set(PLENTY["image_id"][::9])
    with pytest.raises(UserError, match="class bcc has 0 separate lesions"):
        choose_subsets(PLENTY, join_groups(PLENTY, []), everything, 0, 0.1, 0.2, HAM10000)


def test_real_metadata_splits_seventy_ten_twenty_by_lesion(real_data: Path):
    metadata = pd.read_csv(real_data / "ham10000-200x150" / "HAM10000_metadata.csv")
    metadata["sha256"] = [hashlib.sha256(name.encode()).hexdigest() for name in metadata["image_id"]]
    folds = choose_subsets(metadata, join_groups(metadata, []), None, 0, 0.1, 0.2, HAM10000)
    assert check_no_leak(metadata, folds, [])["lesions"] == 7470
    counts = pd.crosstab(folds, metadata["dx"])
    assert int(counts.to_numpy().sum()) == 10015
    for fold, share in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
        assert (abs(counts.loc[fold] - share * counts.sum()) <= 1.5).all()


def test_the_adapter_hands_on_metrics_and_ends_with_code_2_on_bad_input(tmp_path: Path):
    from kfp.dsl import Dataset

    from lesionflow.components.split.component import split

    images = Dataset(uri=str(write_images(tmp_path / "images", PLENTY)))
    outputs = {fold: Dataset(uri=str(tmp_path / "out" / fold)) for fold in SUBSETS}
    split.python_func(images=images, **outputs, seed=2)
    assert outputs["test"].metadata["images"] == len(pd.read_parquet(tmp_path / "out" / "test"))
    assert outputs["train"].metadata["leak_check"]["passed"] is True
    with pytest.raises(SystemExit) as exit_info:
        split.python_func(images=images, **outputs, test_share=2.0)
    assert exit_info.value.code == 2
