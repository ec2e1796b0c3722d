"""A delimited text file of a source: its header, and its rows as text."""

import csv
import io
from dataclasses import dataclass

import pandas as pd

from lesionflow.data.entry import Entry
from lesionflow.errors import UserError

_MISSING = frozenset({"", "na", "n/a", "nan", "none", "null"})
_DELIMITERS = "\t,;"


@dataclass(frozen=True)
class TableFile:
    """A file of the source that may be metadata, by its header."""

    entry: Entry
    data: bytes
    delimiter: str
    columns: tuple[str, ...]
    """Lower case."""

    @classmethod
    def sniff(cls, entry: Entry, data: bytes) -> "TableFile | None":
        """The file as a table, or None if its first line is no header of several columns."""
        lines = data[: 2**16].splitlines()
        try:
            header = lines[0].decode("utf-8-sig") if lines else ""
        except UnicodeDecodeError:
            return None
        delimiter = max(_DELIMITERS, key=header.count)
        names = next(csv.reader([header], delimiter=delimiter), [])
        columns = tuple(name.strip().lower() for name in names)
        return cls(entry, data, delimiter, columns) if len(columns) > 1 else None

    def rows(self) -> pd.DataFrame:
        """All cells as stripped strings, NaN where missing; the index is the line in the file.

        Raises:
            UserError: the file cannot be read, or has no rows.
        """
        try:
            frame = pd.read_csv(
                io.BytesIO(self.data),
                sep=self.delimiter,
                header=0,
                names=list(self.columns),
                index_col=False,
                dtype=str,
                keep_default_na=False,
                skip_blank_lines=True,
            )
        except (ValueError, UnicodeDecodeError) as error:  # pandas' ParserError is a ValueError
            problem = " ".join(str(error).split()).rstrip(".")
            raise UserError(
                f"The metadata {self.entry.name} cannot be read ({problem}); save it as CSV in UTF-8."
            ) from None
        if frame.empty:
            raise UserError(f"The metadata {self.entry.name} has a header but no rows.")
        for name in frame.columns:
            column = frame[name].str.strip()
            frame[name] = column.mask(column.str.lower().isin(_MISSING))
        frame.index = pd.RangeIndex(2, len(frame) + 2)
        return frame
