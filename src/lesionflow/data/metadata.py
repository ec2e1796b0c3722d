"""Metadata of lesions in any layout in which it is found: which file it is, and what its rows say."""

import math
import re
from dataclasses import dataclass

import pandas as pd

from lesionflow.data.image_kind import IMAGE_ENDINGS
from lesionflow.data.layouts import layout_of
from lesionflow.data.layouts.layout import OPTIONAL, REQUIRED, Layout
from lesionflow.data.source import Source, read
from lesionflow.data.table_file import TableFile
from lesionflow.errors import UserError
from lesionflow.taxonomy import SEXES, Taxonomy

MAXIMUM_AGE = 120  # years

_ENDING = rf"(?:{'|'.join(map(re.escape, sorted(IMAGE_ENDINGS)))})$"


class NoMetadata(UserError):
    """No file of a source looks like metadata."""


@dataclass(frozen=True)
class Metadata:
    """The metadata files of a source."""

    table: TableFile
    layout: Layout
    """Of the table."""
    companion: TableFile | None
    """What the layout reads beside the table."""
    taxonomy: Taxonomy
    """Of the classes that it is read by."""


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


def find_metadata(source: Source, taxonomy: Taxonomy) -> Metadata:
    """Find the metadata of a source by the headers of its files.

    Args:
        source: any.
        taxonomy: of the classes that it should hold.

    Raises:
        NoMetadata: there is none.
        UserError: there are several, or one that lacks columns.
    """
    tables = [table for entry in source.tables if (table := TableFile.sniff(entry, read(source, entry)))]
    named = {table.entry.name: table for table in tables if "metadata" in table.entry.stem.lower()}
    complete = {table.data: (table, layout) for table in tables if (layout := layout_of(table, taxonomy))}
    if len(complete) > 1:
        names = ", ".join(sorted(table.entry.name for table, _ in complete.values()))
        raise UserError(
            f"{source.address} holds several metadata tables ({names}); keep the one that belongs to the images."
        )
    for table, layout in complete.values():
        others = [each for each in tables if each.data != table.data]
        return Metadata(table, layout, layout.companion(table, others), taxonomy)
    needed = taxonomy.columns.required
    almost = [table for table in tables if taxonomy.columns.image in table.columns] or list(named.values())
    if almost:
        table = almost[0]
        missing = ", ".join(column for column in needed if column not in table.columns)
        raise UserError(
            f"The metadata {table.entry.name} in {source.address} has no column {missing}; "
            f"it has {', '.join(table.columns)}, and {', '.join(needed)} are needed."
        )
    seen = ", ".join(entry.name for entry in source.tables[:3]) or "no file that could be one"
    raise NoMetadata(
        f"No metadata table was found in {source.address} (looked at: {seen}); expected a comma- or tab-separated file "
        f"with the columns {', '.join(needed)}, such as HAM10000_metadata.csv."
    )


def parse_metadata(metadata: Metadata) -> Parsed:
    """Read the rows, reject those that cannot be used.

    Raises:
        UserError: the file as a whole cannot be read.
    """
    table = metadata.table
    frame, warnings = metadata.layout.read(table, metadata.companion, metadata.taxonomy)
    total = len(frame)
    frame = frame.reindex(columns=[*REQUIRED, *OPTIONAL]).astype("str")
    frame["image_id"] = frame["image_id"].str.replace(_ENDING, "", case=False, regex=True)
    for column in ("dx", "dx_type", "sex", "localization"):
        frame[column] = frame[column].str.lower()
    frame["dx"] = frame["dx"].map(metadata.taxonomy.words).fillna(frame["dx"])
    frame, rejected = _validate(frame, table.entry.name, metadata.taxonomy)
    frame, repeated = _without_repeats(frame, table.entry.name)
    labels = frame.groupby("lesion_id")["dx"].nunique()
    if split_lesions := labels[labels > 1].index.tolist():
        warnings.append(f"Lesions with more than one diagnosis: {len(split_lesions)} (the first: {split_lesions[0]}).")
    rows = frame.sort_values("image_id", ignore_index=True)
    return Parsed(rows, total, rejected + repeated, warnings)


def _validate(frame: pd.DataFrame, file: str, taxonomy: Taxonomy) -> tuple[pd.DataFrame, list[Rejected]]:
    """Check every cell; rows that fail go to the rejected."""
    import pandera.pandas as pa

    age = pd.to_numeric(frame["age"], errors="coerce")
    # What is there but no number becomes infinite, so that it fails the check instead of counting as missing.
    numeric = frame.assign(age=age.mask(age.isna() & frame["age"].notna(), math.inf).astype(float))
    labels = ", ".join(taxonomy.codes)
    text = {column: pa.Column(nullable=True) for column in ("dx_type", "localization", "dataset")}
    schema = pa.DataFrameSchema(
        {
            "image_id": pa.Column(nullable=False),
            "lesion_id": pa.Column(nullable=False),
            "dx": pa.Column(checks=pa.Check.isin(taxonomy.codes), nullable=False),
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
