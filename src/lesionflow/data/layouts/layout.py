"""What a layout of metadata is."""

from abc import ABC, abstractmethod

import pandas as pd

from lesionflow.data.table_file import TableFile
from lesionflow.taxonomy import Taxonomy

REQUIRED = ("image_id", "lesion_id", "dx")
OPTIONAL = ("dx_type", "age", "sex", "localization", "dataset")


class Layout(ABC):
    """A form of metadata table: how to know it by its header, and how to read its rows."""

    @abstractmethod
    def knows(self, table: TableFile, taxonomy: Taxonomy) -> bool:
        """Whether the columns are those of this layout.

        Args:
            table: any table.
            taxonomy: the classes that are looked for, and what their data call their columns.
        """

    def companion(self, table: TableFile, others: list[TableFile]) -> TableFile | None:
        """The file beside a table that says what the table does not; None if there is none.

        Args:
            table: of this layout.
            others: what else of the source may be a table, none of it with the same content.
        """
        return None

    @abstractmethod
    def read(self, table: TableFile, companion: TableFile | None, taxonomy: Taxonomy) -> tuple[pd.DataFrame, list[str]]:
        """Bring the rows into the common form.

        Returns:
            A row per row of the table, as strings, missing where it says nothing, with at least the columns
            REQUIRED and as many of OPTIONAL as there are; the index is the line in the file. And what the reader
            should know before using the data, a sentence each.

        Raises:
            UserError: the file as a whole cannot be read.
        """
