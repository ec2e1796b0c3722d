"""Train, validation and test tables by lesion."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lesionflow.artifacts.images import read_metadata, read_taxonomy
from lesionflow.artifacts.tables import SUBSETS, Split
from lesionflow.data.splitting.assign import assign_groups, join_groups
from lesionflow.data.splitting.leaks import check_no_leak
from lesionflow.data.splitting.lists import read_found_pairs, read_ids, read_pairs
from lesionflow.errors import UserError
from lesionflow.runtime.progress import report
from lesionflow.taxonomy import Taxonomy


def split_images(
    images: str | Path,
    tables: Mapping[str, str | Path],
    *,
    seed: int = 0,
    validation_share: float = 0.1,
    test_share: float = 0.2,
    duplicate_pairs: str = "",
    fixed_test: str = "",
    folds: int = 0,
    fold: int = 0,
    found_pairs: str | Path = "",
) -> dict[str, Any]:
    """Write the three tables of a split in which no lesion, and no duplicate, is on two sides.

    Args:
        images: the images artifact.
        tables: `train`, `validation` and `test` -> where to write its table.
        seed: another seed gives another split.
        validation_share: share of each class's images for validation, 0 to 1.
        test_share: the same for the test set. With a `fixed_test` only the proportion of training
            to validation counts.
        duplicate_pairs: CSV (local, gs:// or s3://) of image pairs that show the same thing, see `read_pairs`.
        fixed_test: list (local, gs:// or s3://) of the test images, see `read_ids`. Other images of their
            lesions, and of lesions joined to these, are left out of all three tables: in training
            they would leak, in the test set they were not asked for.
        folds: of a cross-validation, 2 or more: all lesions are sent to so many equal parts, the same ones
            whatever `fold` is, and the test set is one of them. As with a `fixed_test`, only the
            proportion of training to validation then counts. 0 for none.
        fold: which part is the test set, from 0.
        found_pairs: CSV of the pairs that the duplicates step found; empty for none.

    Returns:
        Facts for the artifacts: per subset `images`, `lesions` and `counts` per class; `left_out` images;
        `joined_lesions`; and what the leak check covered.

    Raises:
        UserError: bad shares, lists or folds, or a class with fewer lesions than folds.
    """
    _require_shares(validation_share, test_share, seed)
    _require_folds(folds, fold, fixed_test)
    metadata, taxonomy = read_metadata(images), read_taxonomy(images)
    known = set(metadata["image_id"])
    pairs = read_pairs(duplicate_pairs, known) if duplicate_pairs else []
    pairs += read_found_pairs(found_pairs, known) if found_pairs else []
    listed = read_ids(fixed_test, known) if fixed_test else None
    groups = join_groups(metadata, pairs)
    sides = choose_subsets(metadata, groups, listed, seed, validation_share, test_share, taxonomy, folds, fold)
    checked = check_no_leak(metadata[sides != ""], sides[sides != ""], pairs)
    facts = _write_tables(metadata.assign(subset=sides), tables, taxonomy)
    sizes = " / ".join(f"{facts[side]['images']:,}" for side in SUBSETS)
    report("headline", text=f"{sizes} images, no lesion on two sides")
    return {
        **facts,
        "left_out": int((sides == "").sum()),
        "joined_lesions": metadata["lesion_id"].nunique() - groups.nunique(),
        "leak_check": {"passed": True, **{f"{name}_checked": count for name, count in checked.items()}},
    }


def choose_subsets(
    metadata: pd.DataFrame,
    groups: "pd.Series[str]",
    fixed_test: set[str] | None,
    seed: int,
    validation_share: float,
    test_share: float,
    taxonomy: Taxonomy,
    folds: int = 0,
    fold: int = 0,
) -> "pd.Series[str]":
    """The side of each row of `metadata`, one of SUBSETS; "" for those that are left out beside a fixed test set."""
    missing = [label for label in taxonomy.codes if label not in set(metadata["dx"])]
    if missing:
        raise UserError(
            f"There are no images of {', '.join(missing)}; expected images of all {len(taxonomy.codes)} classes."
        )
    train_share = 1 - validation_share - test_share
    if folds:
        parts = assign_groups(
            metadata["dx"], groups, {f"fold {part + 1}": 1 / folds for part in range(folds)}, seed, taxonomy
        )
        held_out = parts == f"fold {fold + 1}"
        left_out = pd.Series(False, index=metadata.index)
    elif fixed_test is None:
        shares = {"train": train_share, "validation": validation_share, "test": test_share}
        return assign_groups(metadata["dx"], groups, shares, seed, taxonomy)
    else:
        held_out = metadata["image_id"].isin(fixed_test)
        missing = [label for label in taxonomy.codes if label not in set(metadata.loc[held_out, "dx"])]
        if missing:
            raise UserError(
                f"The fixed test list has no images of {', '.join(missing)}; each class needs at least one."
            )
        left_out = groups.isin(groups[held_out]) & ~held_out
    rest = ~held_out & ~left_out
    both = train_share + validation_share
    shares = {"train": train_share / both, "validation": validation_share / both}
    sides = pd.Series("", index=metadata.index)
    sides[held_out] = "test"
    sides[rest] = assign_groups(metadata.loc[rest, "dx"], groups[rest], shares, seed, taxonomy)
    return sides


def _write_tables(metadata: pd.DataFrame, tables: Mapping[str, str | Path], taxonomy: Taxonomy) -> dict[str, Any]:
    """Write a table per subset, sorted by image id, and count what is in it."""
    table = metadata.sort_values(Split.image_id, ignore_index=True)
    facts: dict[str, Any] = {}
    for subset in SUBSETS:
        part = table[table["subset"] == subset]
        Split.store(part, tables[subset])
        counts = part["dx"].value_counts()
        facts[subset] = {
            "images": len(part),
            "lesions": part["lesion_id"].nunique(),
            "counts": {label: int(counts[label]) for label in taxonomy.codes},
        }
    return facts


def _require_shares(validation_share: float, test_share: float, seed: int) -> None:
    for name, share in (("validation_share", validation_share), ("test_share", test_share)):
        if not 0 < share < 1:
            raise UserError(f"{name} is {share}; expected a share of the images between 0 and 1, such as 0.1.")
    if not validation_share + test_share < 1:
        raise UserError(
            f"validation_share {validation_share} and test_share {test_share} leave nothing to train on; "
            "expected a sum below 1."
        )
    if seed < 0:
        raise UserError(f"seed is {seed}; expected 0 or a positive number.")


def _require_folds(folds: int, fold: int, fixed_test: str) -> None:
    if folds == 0:
        return
    if folds < 2:
        raise UserError(f"folds is {folds}; expected 2 or more for a cross-validation, or 0 for a plain split.")
    if not 0 <= fold < folds:
        raise UserError(f"fold is {fold}; expected one of the {folds} folds, counted from 0 to {folds - 1}.")
    if fixed_test:
        raise UserError(
            "fixed_test and folds exclude each other, as each fold is the test set once; leave one of them out."
        )
