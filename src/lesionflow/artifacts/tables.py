"""Tables of image ids and labels that pass from step to step, as one Parquet file each."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lesionflow.errors import UserError
from lesionflow.runtime.files import whole_file

SPLIT_COLUMNS = ("image_id", "lesion_id", "dx", "subset")
"""Columns of the train, validation and test tables; `subset` is the table's own name."""

BALANCED_COLUMNS = (*SPLIT_COLUMNS, "weight", "sampling_weight")
"""Columns of the balanced training table.

`weight` multiplies the row's loss (mean 1 over rows); `sampling_weight` is how often the row is expected to
be drawn in an epoch (sum over rows = number of rows). Only one of them differs from 1.
"""


def probability_columns(codes: Sequence[str]) -> tuple[str, ...]:
    """The columns of a score table that hold the probability of each class, float, in the order of `codes`."""
    return tuple(f"p_{code}" for code in codes)


def score_columns(codes: Sequence[str]) -> tuple[str, ...]:
    """The columns of a score table; `predicted` is null where a probability is not a finite number."""
    return ("image_id", "lesion_id", "dx", "predicted", *probability_columns(codes))


def read_codes(path: str | Path) -> tuple[str, ...]:
    """The classes of a score table, in the order of its probabilities.

    Raises:
        UserError: there is no score table at `path`.
    """
    codes = tuple(name.removeprefix("p_") for name in _columns(path) if name.startswith("p_"))
    if not codes:
        raise UserError(f"The table {path} holds no probabilities; expected the score table that lesionflow wrote.")
    return codes


def table_digest(table: pd.DataFrame) -> str:
    """SHA-256 of which images are in a table, of which lesion and class, whatever their order; hexadecimal."""
    rows = table[["image_id", "lesion_id", "dx"]].astype(str).agg("\t".join, axis=1)
    return hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write `table` as Parquet to `path`, whole or not at all."""
    with whole_file(path) as temporary:
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), temporary)


def read_table(path: str | Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read the `columns` of the Parquet table at `path`.

    Raises:
        UserError: there is no Parquet file at `path`, or it lacks a column.
    """
    present = _columns(path)
    missing = [column for column in columns if column not in present]
    if missing:
        raise UserError(
            f"The table {path} has no column {', '.join(missing)}; it has {', '.join(present)}. "
            "Pass the table that the right step wrote."
        )
    return pd.read_parquet(path, columns=list(columns))


def _columns(path: str | Path) -> list[str]:
    try:
        return pq.read_schema(path).names
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(
            f"{path} is not a readable Parquet table ({error}); expected a table written by lesionflow."
        ) from None
