"""The tables of the ISIC challenges: `image, MEL, NV, BCC, AKIEC, BKL, DF, VASC`, a column per diagnosis.

Lesions come from the challenge's groupings, or its metadata (`image, lesion_id, ...`), where they lie beside it.
"""

import pandas as pd

from lesionflow.data.layouts.layout import Layout
from lesionflow.data.table_file import TableFile
from lesionflow.taxonomy import Taxonomy

_TOLD = {
    "lesion_id": "lesion_id",
    "diagnosis_confirm_type": "dx_type",
    "age_approx": "age",
    "sex": "sex",
    "anatom_site_general": "localization",
}
"""Column of the groupings, or of the metadata of 2019 -> in the common form."""


class IsicOneHot(Layout):
    """A row per image, 1 in the column of its diagnosis and 0 in the others."""

    def knows(self, table: TableFile, taxonomy: Taxonomy) -> bool:
        """Whether each diagnosis has its column."""
        return "image" in table.columns and all(_columns(table, taxonomy).values())

    def companion(self, table: TableFile, others: list[TableFile]) -> TableFile | None:
        """The lesion groupings."""
        return next((each for each in others if {"image", "lesion_id"} <= set(each.columns)), None)

    def read(self, table: TableFile, companion: TableFile | None, taxonomy: Taxonomy) -> tuple[pd.DataFrame, list[str]]:
        """Turn columns into labels; a label is missing unless exactly one column is 1."""
        cells = table.rows()
        columns = _columns(table, taxonomy)
        named = cells[list(columns.values())].set_axis(list(columns), axis="columns")
        ones = named.apply(pd.to_numeric, errors="coerce") == 1
        dx = ones.idxmax(axis=1).where(ones.sum(axis=1) == 1, None)
        frame = pd.DataFrame({"image_id": cells["image"], "dx": dx.astype(object)}, index=cells.index)
        if companion:
            return _with_lesions(frame, companion.rows()), []
        frame["lesion_id"] = frame["image_id"]
        return frame, [
            f"{table.entry.name} says nothing about lesions, so every image counts as a lesion of its own: images "
            "of one lesion may end up on both sides of the split, and the measured quality may be too good. "
            "Add ISIC2018_Task3_Training_LesionGroupings.csv, or use HAM10000_metadata."
        ]


def _columns(table: TableFile, taxonomy: Taxonomy) -> dict[str, str | None]:
    """Code -> the column that it, or one of its aliases, names; None if there is none."""
    found = {code: column for column in table.columns if (code := taxonomy.words.get(column))}
    return {code: found.get(code) for code in taxonomy.codes}


def _with_lesions(frame: pd.DataFrame, groupings: pd.DataFrame) -> pd.DataFrame:
    """Take lesion_id, and what else is told, from the groupings."""
    known = groupings.drop_duplicates("image").set_index("image")
    for theirs, ours in _TOLD.items():
        if theirs in known:
            frame[ours] = frame["image_id"].map(known[theirs])
    return frame


LAYOUT = IsicOneHot()
