"""The safety net under a split: written apart from the splitting, so that one mistake cannot hide in both."""

from collections.abc import Iterable

import pandas as pd

_UNITS = {"image_id": "image", "lesion_id": "lesion", "sha256": "image content"}


class SplitLeakError(Exception):
    """Something sits on two sides of a split. This is a bug in the splitting, not in the data."""


def check_no_leak(
    metadata: pd.DataFrame, subsets: "pd.Series[str]", pairs: Iterable[tuple[str, str]]
) -> dict[str, int]:
    """Verify that no lesion, duplicate pair or identical content is in two subsets.

    Args:
        metadata: one row per image that is in a subset: image_id, lesion_id, sha256.
        subsets: the subset of each row.
        pairs: image ids that show the same thing; a pair with an image in no subset cannot leak.

    Returns:
        How many lesions, contents and pairs were checked.

    Raises:
        SplitLeakError: naming the first offender.
    """
    table = metadata.assign(subset=subsets)
    checked: dict[str, int] = {}
    for column, what in _UNITS.items():
        sides = table.groupby(column)["subset"].nunique()
        if (sides != 1).any():
            first = sides.index[sides != 1][0]
            found = ", ".join(sorted(table.loc[table[column] == first, "subset"].unique()))
            raise SplitLeakError(f"The {what} {first} is in {found}; expected it in one subset only.")
        checked[f"{what}s".replace(" ", "_")] = len(sides)
    subset_of = dict(zip(table["image_id"], table["subset"], strict=True))
    checked["duplicate_pairs"] = 0
    for pair in pairs:
        sides = {subset_of[image_id] for image_id in pair if image_id in subset_of}
        if len(sides) > 1:
            raise SplitLeakError(
                f"The duplicate images {pair[0]} and {pair[1]} are in {' and '.join(sorted(sides))}; "
                "expected both in one subset."
            )
        checked["duplicate_pairs"] += 1
    return checked
