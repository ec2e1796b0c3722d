"""What every table that passes between steps has in common: one Parquet file, checked when written and when read."""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.parquet as pq

from lesionflow.errors import UserError
from lesionflow.runtime.files import whole_file


class Table(pandera.DataFrameModel):
    """The columns of a table, what they mean and what holds of them.

    A field's name is that of its column: `Split.dx == "dx"`. Its description completes the sentence "expected ...".
    """

    @classmethod
    def columns(cls, present: Sequence[str] = ()) -> list[str]:
        """Those columns of a file that belong to this table, in the order of the fields.

        Args:
            present: the file's, of which those that match a pattern keep their order.
        """
        found: list[str] = []
        for name, field in cls.to_schema().columns.items():
            found += [each for each in present if re.fullmatch(name, each)] if field.regex else [name]
        return found

    @classmethod
    def load(cls, path: str | Path) -> pd.DataFrame:
        """Read and check a table; what else is in the file is left aside.

        Raises:
            UserError: there is no Parquet file at `path`, it lacks a column, or something does not hold of it.
        """
        present = column_names(path)
        wanted = cls.columns(present)
        if missing := [column for column in wanted if column not in present]:
            raise UserError(
                f"The table {path} has no column {', '.join(missing)}; it has {', '.join(present)}. "
                "Pass the table that the right step wrote."
            )
        return cls.checked(pd.read_parquet(path, columns=wanted), f"The table {path}")

    @classmethod
    def store(cls, table: pd.DataFrame, path: str | Path) -> None:
        """Check a table and write its columns, whole or not at all.

        Raises:
            UserError: something does not hold of it.
        """
        wanted = table[cls.columns([str(name) for name in table.columns])]
        write_table(cls.checked(wanted, f"The table for {path}"), path)

    @classmethod
    def checked(cls, table: pd.DataFrame, what: str) -> pd.DataFrame:
        """The table itself, if all holds of it.

        Args:
            table: with all columns.
            what: begins the sentence if it does not.

        Raises:
            UserError: the first thing that does not hold.
        """
        if table.empty:
            return table  # of whatever types
        try:
            return cls.validate(table, lazy=True)
        except pandera.errors.SchemaErrors as errors:
            raise UserError(f"{what} {cls._problem(errors.failure_cases)}; run the step that wrote it again.") from None

    @classmethod
    def _problem(cls, cases: pd.DataFrame) -> str:
        case = cases.sort_values("index", kind="stable").iloc[0]
        column, value, check = str(case["column"]), case["failure_case"], str(case["check"])
        field = next(
            each for name, each in cls.to_schema().columns.items() if re.fullmatch(name, column) or column == name
        )
        expected = f"expected {field.description}"
        if check == "field_uniqueness":
            return f"has an image twice ({value})" if column == "image_id" else f"has {value} twice in {column}"
        if check.startswith("no_regex_column_match"):
            return f"has no column {column}; {expected}"
        if check.startswith("dtype("):
            return f"holds {value} in the column {column}; {expected}"
        if pd.isna(case["index"]):
            return f"has {check} in the column {column}; {expected}"
        shown = "nothing" if check == "not_nullable" else repr(getattr(value, "item", lambda: value)())
        return f"has {shown} in row {case['index']} of the column {column}; {expected}"


def column_names(path: str | Path) -> list[str]:
    """Read the names of the columns of a Parquet file.

    Raises:
        UserError: there is none at `path`.
    """
    try:
        return pq.read_schema(path).names
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(
            f"{path} is not a readable Parquet table ({error}); expected a table written by lesionflow."
        ) from None


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as Parquet, whole or not at all, without any check."""
    with whole_file(path) as temporary:
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), temporary)
