"""The table of Harvard Dataverse and Kaggle: `lesion_id, image_id, dx, ...`, the diagnosis in a column."""

import pandas as pd

from lesionflow.data.layouts.layout import REQUIRED, Layout
from lesionflow.data.table_file import TableFile


class LabelColumn(Layout):
    """HAM10000's own."""

    def knows(self, table: TableFile) -> bool:
        """Whether image, lesion and diagnosis have their columns."""
        return set(REQUIRED) <= set(table.columns)

    def read(self, table: TableFile, companion: TableFile | None) -> tuple[pd.DataFrame, list[str]]:
        """Take the rows as they are."""
        return table.rows(), []


LAYOUT = LabelColumn()
