"""A table with the diagnosis in a column, as of Harvard Dataverse and Kaggle: `lesion_id, image_id, dx, ...`.

A taxonomy may say that its data name these columns otherwise.
"""

import pandas as pd

from lesionflow.data.layouts.layout import Layout
from lesionflow.data.table_file import TableFile
from lesionflow.taxonomy import Columns, Taxonomy


class LabelColumn(Layout):
    """A row per image."""

    def knows(self, table: TableFile, taxonomy: Taxonomy) -> bool:
        """Whether image, group and diagnosis have their columns."""
        return set(taxonomy.columns.required) <= set(table.columns)

    def read(self, table: TableFile, companion: TableFile | None, taxonomy: Taxonomy) -> tuple[pd.DataFrame, list[str]]:
        """Give the columns our names, and leave the rows as they are."""
        columns = taxonomy.columns
        cells = table.rows()
        # A column that is not mapped but has one of our names is another thing, unless it is read as that.
        frame = pd.DataFrame({ours: cells[name] for ours, name in columns.ours.items() if name in cells}, cells.index)
        for name in ("dx_type", "dataset"):
            if name in cells:
                frame[name] = cells[name]
        if columns.group is None:
            frame["lesion_id"] = frame["image_id"]
            return frame, [
                "The taxonomy names no column that groups images, so every image counts as a lesion of its own: images "
                "of one lesion or patient may end up on both sides of the split, and the measured quality may be too "
                "good."
            ]
        if columns.group != Columns().group:
            return frame, [
                f"Images are grouped by the column {columns.group}, so wherever lesions are counted or drawn, it is "
                "these groups."
            ]
        return frame, []


LAYOUT = LabelColumn()
