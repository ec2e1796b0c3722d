"""Train, validation and test tables by lesion."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from components.common.errors import UserError
from components.common.image_table import read_metadata
from components.common.progress import report
from components.common.tables import SPLIT_COLUMNS, write_table
from components.common.taxonomy import LABELS
from components.split.assign import assign_folds, join_groups
from components.split.leaks import check_no_leak
from components.split.lists import read_ids, read_pairs

FOLDS = ("train", "validation", "test")


def split_images(
    images: str | Path,
    tables: Mapping[str, str | Path],
    *,
    seed: int = 0,
    validation_share: float = 0.1,
    test_share: float = 0.2,
    duplicate_pairs: str = "",
    fixed_test: str = "",
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

    Returns:
        Figures: per fold `images`, `lesions` and `counts` per class; `left_out` images; `joined_lesions`;
        and what the leak check covered.

    Raises:
        UserError: bad shares or lists, or a class with fewer lesions than folds.
    """
    _require_shares(validation_share, test_share, seed)
    metadata = read_metadata(images)
    known = set(metadata["image_id"])
    pairs = read_pairs(duplicate_pairs, known) if duplicate_pairs else []
    listed = read_ids(fixed_test, known) if fixed_test else None
    groups = join_groups(metadata, pairs)
    folds = choose_folds(metadata, groups, listed, seed, validation_share, test_share)
    checked = check_no_leak(metadata[folds != ""], folds[folds != ""], pairs)
    figures = _write_tables(metadata.assign(fold=folds), tables)
    sizes = " / ".join(f"{figures[fold]['images']:,}" for fold in FOLDS)
    report("figure", text=f"{sizes} images, no lesion on two sides")
    return {
        **figures,
        "left_out": int((folds == "").sum()),
        "joined_lesions": metadata["lesion_id"].nunique() - groups.nunique(),
        "leak_check": {"passed": True, **{f"{name}_checked": count for name, count in checked.items()}},
    }


def choose_folds(
    metadata: pd.DataFrame,
    groups: "pd.Series[str]",
    fixed_test: set[str] | None,
    seed: int,
    validation_share: float,
    test_share: float,
) -> "pd.Series[str]":
    """The fold of each row of `metadata`; "" for those that are left out beside a fixed test set."""
    missing = [label for label in LABELS if label not in set(metadata["dx"])]
    if missing:
        raise UserError(f"There are no images of {', '.join(missing)}; expected images of all {len(LABELS)} classes.")
    train_share = 1 - validation_share - test_share
    if fixed_test is None:
        shares = {"train": train_share, "validation": validation_share, "test": test_share}
        return assign_folds(metadata["dx"], groups, shares, seed)
    listed = metadata["image_id"].isin(fixed_test)
    missing = [label for label in LABELS if label not in set(metadata.loc[listed, "dx"])]
    if missing:
        raise UserError(f"The fixed test list has no images of {', '.join(missing)}; each class needs at least one.")
    rest = ~groups.isin(groups[listed])
    both = train_share + validation_share
    shares = {"train": train_share / both, "validation": validation_share / both}
    folds = pd.Series("", index=metadata.index)
    folds[listed] = "test"
    folds[rest] = assign_folds(metadata.loc[rest, "dx"], groups[rest], shares, seed)
    return folds


def _write_tables(metadata: pd.DataFrame, tables: Mapping[str, str | Path]) -> dict[str, Any]:
    """Write a table per fold, sorted by image id, and count what is in it."""
    table = metadata[list(SPLIT_COLUMNS)].sort_values("image_id", ignore_index=True)
    figures: dict[str, Any] = {}
    for fold in FOLDS:
        part = table[table["fold"] == fold]
        write_table(part, tables[fold])
        counts = part["dx"].value_counts()
        figures[fold] = {
            "images": len(part),
            "lesions": part["lesion_id"].nunique(),
            "counts": {label: int(counts[label]) for label in LABELS},
        }
    return figures


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
