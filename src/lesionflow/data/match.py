"""Bringing together the rows of the metadata and the files of the source."""

from collections import defaultdict
from dataclasses import dataclass

import pandas as pd

from lesionflow.data.entry import Entry
from lesionflow.data.metadata import Parsed, Rejected
from lesionflow.data.source import Source, entry_digest


@dataclass(frozen=True)
class Matched:
    """Rows that have exactly one image."""

    rows: pd.DataFrame
    """Of the metadata, sorted by image_id."""
    entries: list[Entry]
    """The image of each row."""
    rejected: list[Rejected]
    total: int
    """Rows in the metadata and surplus images: what a share of rejected items is a share of."""
    merged: int
    """Files left out because their image is there already, byte for byte."""


def match_images(source: Source, metadata: Parsed, metadata_name: str) -> Matched:
    """Find the image of each row.

    Kaggle's archive holds every image twice, in folders that differ in case only: files of one id
    count once if their bytes are the same, and not at all if they differ.

    Raises:
        UserError: a file cannot be read.
    """
    found: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in source.images:
        found[entry.stem].append(entry)
    rejected: list[Rejected] = []
    chosen: dict[str, Entry] = {}
    merged = 0
    for image_id in metadata.rows["image_id"]:
        files = found.get(image_id, [])
        if not files:
            rejected.append(Rejected(image_id, metadata_name, "row without an image: no file of that name"))
        elif len(files) > 1 and len({entry_digest(source, file) for file in files}) > 1:
            names = " and ".join(file.name for file in files)
            rejected.append(Rejected(image_id, names, f"conflicting images: {len(files)} files that are not the same"))
        else:
            chosen[image_id] = files[0]
            merged += len(files) - 1
    known = {*metadata.rows["image_id"], *(rejection.item for rejection in metadata.rejected)}
    surplus = [
        Rejected(image_id, files[0].name, "image without a row: no such image_id in the metadata")
        for image_id, files in sorted(found.items())
        if image_id not in known
    ]
    rows = metadata.rows[metadata.rows["image_id"].isin(chosen.keys())].reset_index(drop=True)
    entries = [chosen[image_id] for image_id in rows["image_id"]]
    return Matched(rows, entries, rejected + surplus, metadata.total + len(surplus), merged)
