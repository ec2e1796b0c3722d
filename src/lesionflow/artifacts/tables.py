"""The tables that pass from step to step, as one Parquet file each: contract, documentation and check in one."""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pandera

from lesionflow.artifacts.table import Table, column_names
from lesionflow.errors import UserError

SUBSETS = ("train", "validation", "test")


class Labelled(Table):
    """Images with their lesions and classes. All that is counted, split or compared goes by lesions."""

    image_id: str = pandera.Field(unique=True, description="the id of an image, once")
    lesion_id: str = pandera.Field(description="the id of the lesion, or of what else groups images")
    dx: str = pandera.Field(description="the code of a class")

    @classmethod
    def load(cls, path: str | Path, codes: Sequence[str] | None = None) -> pd.DataFrame:
        """Read and check a table, as `Table.load`.

        Args:
            path: of the Parquet file.
            codes: of all classes that there are; None if that is not known.

        Raises:
            UserError: there is another class, or as `Table.load`.
        """
        table = super().load(path)
        if codes is not None and (unknown := sorted(set(table["dx"]) - set(codes))):
            raise UserError(f"The table {path} has the label {unknown[0]!r}; expected only {', '.join(codes)}.")
        return table


class Split(Labelled):
    """The train, validation or test table."""

    subset: str = pandera.Field(isin=SUBSETS, description="the table's own name: train, validation or test")


class Balanced(Split):
    """The training table with what balances its classes. Only one of the last two columns differs from 1."""

    weight: float = pandera.Field(
        ge=0, coerce=True, description="what the row's loss is multiplied by, 0 or more, of mean 1 over all rows"
    )
    sampling_weight: float = pandera.Field(
        ge=0,
        coerce=True,
        description="how often the row is drawn in an epoch, 0 or more; in all as often as there are rows",
    )

    @pandera.check("weight", "sampling_weight", error="only zero values")
    def _some_above_zero(cls, values: "pd.Series[float]") -> bool:
        return values.empty or float(values.sum()) > 0


class Scores(Labelled):
    """What a model said of each test image."""

    predicted: Any = pandera.Field(nullable=True, description="the likeliest class; null where one is not a number")
    probabilities: Any = pandera.Field(
        alias=r"p_.+",
        regex=True,
        nullable=True,
        description="p_<code>, a class's probability, 0..1, or NaN or infinite as a broken model answered",
    )

    @pandera.check(r"p_.+", regex=True, error="a value that is no probability")
    def _probability_or_not_finite(cls, values: "pd.Series[float]") -> "pd.Series[bool]":
        return values.between(0, 1) | values.abs().eq(math.inf)

    @classmethod
    def load(cls, path: str | Path, codes: Sequence[str] | None = None) -> pd.DataFrame:
        """Read and check a table, as `Labelled.load`; with `codes`, its probabilities are in their order.

        Raises:
            UserError: a class has no probabilities, or as `Labelled.load`.
        """
        table = super().load(path, codes)
        if codes is None:
            return table
        wanted = probability_columns(codes)
        if missing := [column for column in wanted if column not in table]:
            raise UserError(f"The table {path} has no column {', '.join(missing)}; pass the scores of these classes.")
        return table[[*(name for name in table if not str(name).startswith("p_")), *wanted]]


class Pooled(Scores):
    """The scores of all folds of a cross-validation, one after the other."""

    fold: int = pandera.Field(ge=1, description="the number of the fold whose model said it, from 1")


class Quarantine(Table):
    """What ingest left out."""

    item: str = pandera.Field(description="the image's id, or what else names it")
    file: str = pandera.Field(description="where it was found")
    reason: str = pandera.Field(description="the kind of problem, a colon, details")


def probability_columns(codes: Sequence[str]) -> tuple[str, ...]:
    """The columns of a score table that hold the probability of each class, float, in the order of `codes`."""
    return tuple(f"p_{code}" for code in codes)


def read_codes(path: str | Path) -> tuple[str, ...]:
    """Read the classes of a score table, in the order of its probabilities.

    Raises:
        UserError: there is no score table at `path`.
    """
    codes = tuple(name.removeprefix("p_") for name in column_names(path) if name.startswith("p_"))
    if not codes:
        raise UserError(f"The table {path} holds no probabilities; expected the score table that lesionflow wrote.")
    return codes


def table_digest(table: pd.DataFrame) -> str:
    """SHA-256 of which images are in a table, of which lesion and class, whatever their order; hexadecimal."""
    rows = table[[Labelled.image_id, Labelled.lesion_id, Labelled.dx]].astype(str).agg("\t".join, axis=1)
    return hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()
