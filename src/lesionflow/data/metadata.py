"""HAM10000 metadata in the forms in which it is found: which file it is, and what its rows say.

Accepted are the Dataverse and Kaggle table (`lesion_id, image_id, dx, ...`; comma, semicolon or
tab) and the ISIC challenge's one-hot table (`image, MEL, NV, BCC, AKIEC, BKL, DF, VASC`), the
latter with its lesion groupings (`image, lesion_id, ...`) where they lie beside it.
"""

import csv
import io
import math
import re
from dataclasses import dataclass

import pandas as pd

from lesionflow.data.image_kind import IMAGE_ENDINGS
from lesionflow.data.source import Entry, Source, read
from lesionflow.errors import UserError
from lesionflow.taxonomy import LABELS, SEXES

REQUIRED = ("image_id", "lesion_id", "dx")
OPTIONAL = ("dx_type", "age", "sex", "localization", "dataset")
MAXIMUM_AGE = 120  # years

_MISSING = frozenset({"", "na", "n/a", "nan", "none", "null"})
_DELIMITERS = "\t,;"
_ENDING = rf"(?:{'|'.join(map(re.escape, sorted(IMAGE_ENDINGS)))})$"


class NoMetadata(UserError):
    """No file of a source looks like metadata."""


@dataclass(frozen=True)
class Table:
    """A file of the source that is metadata, by its header."""

    entry: Entry
    data: bytes
    delimiter: str
    columns: tuple[str, ...]
    """Lower case."""

    @property
    def is_one_hot(self) -> bool:
        """Whether a column per label holds the diagnosis."""
        return {"image", *LABELS} <= set(self.columns)

    @classmethod
    def sniff(cls, entry: Entry, data: bytes) -> "Table | None":
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


@dataclass(frozen=True)
class Metadata:
    """The metadata files of a source."""

    table: Table
    groupings: Table | None
    """Lesion of each image, where the table itself has no lesions."""


@dataclass(frozen=True)
class Rejected:
    """One row or image that does not go into the artifact."""

    item: str
    """Image id where there is one."""
    file: str
    """Where it was found."""
    reason: str
    """Kind of problem, a colon, details."""


@dataclass(frozen=True)
class Parsed:
    """What the metadata says."""

    rows: pd.DataFrame
    """One row per image, columns REQUIRED and OPTIONAL, image ids unique and sorted."""
    total: int
    """Rows in the file, rejected ones included."""
    rejected: list[Rejected]
    warnings: list[str]


def find_metadata(source: Source) -> Metadata:
    """Find the metadata of a source by the headers of its files.

    Raises:
        NoMetadata: there is none.
        UserError: there are several, or one that lacks columns.
    """
    tables = [table for entry in source.tables if (table := Table.sniff(entry, read(source, entry)))]
    named = {table.entry.name: table for table in tables if "metadata" in table.entry.stem.lower()}
    complete = {table.data: table for table in tables if table.is_one_hot or set(REQUIRED) <= set(table.columns)}
    if len(complete) > 1:
        names = ", ".join(sorted(table.entry.name for table in complete.values()))
        raise UserError(
            f"{source.uri} holds several metadata tables ({names}); keep the one that belongs to the images."
        )
    for table in complete.values():
        groupings = [each for each in tables if each.data != table.data and {"image", "lesion_id"} <= set(each.columns)]
        return Metadata(table, groupings[0] if table.is_one_hot and groupings else None)
    almost = [table for table in tables if "image_id" in table.columns] or list(named.values())
    if almost:
        table = almost[0]
        missing = ", ".join(column for column in REQUIRED if column not in table.columns)
        raise UserError(
            f"The metadata {table.entry.name} in {source.uri} has no column {missing}; "
            f"it has {', '.join(table.columns)}, and {', '.join(REQUIRED)} are needed."
        )
    seen = ", ".join(entry.name for entry in source.tables[:3]) or "no file that could be one"
    raise NoMetadata(
        f"No metadata table was found in {source.uri} (looked at: {seen}); expected a comma- or tab-separated file "
        f"with the columns {', '.join(REQUIRED)}, such as HAM10000_metadata.csv."
    )


def parse_metadata(metadata: Metadata) -> Parsed:
    """Read the rows, reject those that cannot be used.

    Raises:
        UserError: the file as a whole cannot be read.
    """
    table = metadata.table
    frame = _read_rows(table)
    total = len(frame)
    if not total:
        raise UserError(f"The metadata {table.entry.name} has a header but no rows.")
    warnings: list[str] = []
    if table.is_one_hot:
        frame = _from_one_hot(frame)
        frame["lesion_id"] = frame["image_id"]
        if metadata.groupings:
            frame = _with_lesions(frame, _read_rows(metadata.groupings))
        else:
            warnings.append(
                f"{table.entry.name} says nothing about lesions, so every image counts as a lesion of its own: images "
                "of one lesion may end up on both sides of the split, and the measured quality may be too good. "
                "Add ISIC2018_Task3_Training_LesionGroupings.csv, or use HAM10000_metadata."
            )
    frame = frame.reindex(columns=[*REQUIRED, *OPTIONAL]).astype("str")
    frame["image_id"] = frame["image_id"].str.replace(_ENDING, "", case=False, regex=True)
    for column in ("dx", "dx_type", "sex", "localization"):
        frame[column] = frame[column].str.lower()
    frame, rejected = _validate(frame, table.entry.name)
    frame, repeated = _without_repeats(frame, table.entry.name)
    labels = frame.groupby("lesion_id")["dx"].nunique()
    if split_lesions := labels[labels > 1].index.tolist():
        warnings.append(f"Lesions with more than one diagnosis: {len(split_lesions)} (the first: {split_lesions[0]}).")
    rows = frame.sort_values("image_id", ignore_index=True)
    return Parsed(rows, total, rejected + repeated, warnings)


def _read_rows(table: Table) -> pd.DataFrame:
    """All cells as stripped strings, NaN where missing; the index is the line in the file."""
    try:
        frame = pd.read_csv(
            io.BytesIO(table.data),
            sep=table.delimiter,
            header=0,
            names=list(table.columns),
            index_col=False,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=True,
        )
    except (ValueError, UnicodeDecodeError) as error:  # pandas' ParserError is a ValueError
        problem = " ".join(str(error).split()).rstrip(".")
        raise UserError(
            f"The metadata {table.entry.name} cannot be read ({problem}); save it as CSV in UTF-8."
        ) from None
    for name in frame.columns:
        column = frame[name].str.strip()
        frame[name] = column.mask(column.str.lower().isin(_MISSING))
    frame.index = pd.RangeIndex(2, len(frame) + 2)
    return frame


def _from_one_hot(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns image_id and dx; dx is missing unless exactly one label is 1."""
    ones = frame[list(LABELS)].apply(pd.to_numeric, errors="coerce") == 1
    dx = ones.idxmax(axis=1).where(ones.sum(axis=1) == 1, None)
    return pd.DataFrame({"image_id": frame["image"], "dx": dx.astype(object)}, index=frame.index)


def _with_lesions(frame: pd.DataFrame, groupings: pd.DataFrame) -> pd.DataFrame:
    """Take lesion_id, and dx_type where it is told, from the ISIC lesion groupings."""
    known = groupings.drop_duplicates("image").set_index("image")
    frame["lesion_id"] = frame["image_id"].map(known["lesion_id"])
    if "diagnosis_confirm_type" in known:
        frame["dx_type"] = frame["image_id"].map(known["diagnosis_confirm_type"])
    return frame


def _validate(frame: pd.DataFrame, file: str) -> tuple[pd.DataFrame, list[Rejected]]:
    """Check every cell; rows that fail go to the rejected."""
    import pandera.pandas as pa

    age = pd.to_numeric(frame["age"], errors="coerce")
    # What is there but no number becomes infinite, so that it fails the check instead of counting as missing.
    numeric = frame.assign(age=age.mask(age.isna() & frame["age"].notna(), math.inf).astype(float))
    labels = ", ".join(LABELS)
    text = {column: pa.Column(nullable=True) for column in ("dx_type", "localization", "dataset")}
    schema = pa.DataFrameSchema(
        {
            "image_id": pa.Column(nullable=False),
            "lesion_id": pa.Column(nullable=False),
            "dx": pa.Column(checks=pa.Check.isin(LABELS), nullable=False),
            "age": pa.Column(float, checks=pa.Check.in_range(0, MAXIMUM_AGE), nullable=True),
            "sex": pa.Column(checks=pa.Check.isin(SEXES), nullable=True),
            **text,
        }
    )
    expected = {
        "image_id": "no image id",
        "lesion_id": "no lesion id",
        "dx": "unknown label: {!r} is not one of " + labels,
        "age": f"impossible age: {{!r}} is not a number of years from 0 to {MAXIMUM_AGE}",
        "sex": "unknown sex: {!r} is not one of " + ", ".join(SEXES),
    }
    try:
        return schema.validate(numeric, lazy=True), []
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
    bad = cases.dropna(subset=["index"]).astype({"index": int}).drop_duplicates("index").sort_values("index")
    received = frame.fillna("")
    rejected: list[Rejected] = []
    for line, column in zip(bad["index"].tolist(), bad["column"].astype(str).tolist(), strict=True):
        item = str(received.at[line, "image_id"]) or f"line {line}"
        reason = expected[column].format(received.at[line, column])
        rejected.append(Rejected(item, f"{file}, line {line}", reason))
    return numeric.drop(index=bad["index"]), rejected


def _without_repeats(frame: pd.DataFrame, file: str) -> tuple[pd.DataFrame, list[Rejected]]:
    """Keep one of several equal rows of an image; reject all of its rows if they disagree."""
    rejected: list[Rejected] = []
    drop: list[int] = []
    for image_id, group in frame[frame.duplicated("image_id", keep=False)].groupby("image_id"):
        agree = len(group.drop_duplicates()) == 1
        reason = "duplicate id: the same row again" if agree else "duplicate id: its rows disagree"
        lines: list[int] = group.index.tolist()[1 if agree else 0 :]
        rejected += [Rejected(str(image_id), f"{file}, line {line}", reason) for line in lines]
        drop += lines
    return frame.drop(index=drop), rejected
