"""The safety net under a split: written apart from the splitting, so that one mistake cannot hide in both."""

from collections.abc import Iterable

import pandas as pd

_UNITS = {"image_id": "image", "lesion_id": "lesion", "sha256": "image content"}


class SplitLeakError(Exception):
    """Something sits on two sides of a split. This is a bug in the splitting, not in the data."""


def check_no_leak(metadata: pd.DataFrame, folds: "pd.Series[str]", pairs: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Verify that no lesion, duplicate pair or identical content is in two folds.

    Args:
        metadata: one row per image that is in a fold: image_id, lesion_id, sha256.
        folds: the fold of each row.
        pairs: image ids that show the same thing; a pair with an image in no fold cannot leak.

    Returns:
        How many lesions, contents and pairs were checked.

    Raises:
        SplitLeakError: naming the first offender.
    """
    table = metadata.assign(fold=folds)
    checked: dict[str, int] = {}
    for column, what in _UNITS.items():
        sides = table.groupby(column)["fold"].nunique()
        if (sides != 1).any():
            first = sides.index[sides != 1][0]
            found = ", ".join(sorted(table.loc[table[column] == first, "fold"].unique()))
            raise SplitLeakError(f"The {what} {first} is in {found}; expected it in one fold only.")
        checked[f"{what}s".replace(" ", "_")] = len(sides)
    fold_of = dict(zip(table["image_id"], table["fold"], strict=True))
    checked["duplicate_pairs"] = 0
    for pair in pairs:
        sides = {fold_of[image_id] for image_id in pair if image_id in fold_of}
        if len(sides) > 1:
            raise SplitLeakError(
                f"The duplicate images {pair[0]} and {pair[1]} are in {' and '.join(sorted(sides))}; "
                "expected both in one fold."
            )
        checked["duplicate_pairs"] += 1
    return checked
