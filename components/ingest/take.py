"""The images of a source into shards, as far as they can be used."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lesionflow.artifacts.tables import Quarantine
from lesionflow.components.ingest.convert import Converted, convert_all
from lesionflow.components.ingest.shards import write_shards
from lesionflow.data.match import Matched, match_images
from lesionflow.data.metadata import Rejected, find_metadata, parse_metadata
from lesionflow.data.source import Source
from lesionflow.errors import UserError
from lesionflow.runtime.progress import report
from lesionflow.taxonomy import Taxonomy


@dataclass(frozen=True)
class Taken:
    """What became of a source."""

    source: Source
    rejected: list[Rejected]
    """What was left out."""
    original_sizes: Counter[tuple[int, int]]
    """(width, height) in pixels -> number of images, before downscaling."""
    merged: int
    """Files left out because they repeat another, byte for byte."""
    warnings: list[str]
    """What one should know before using the data."""

    def quarantine(self) -> pd.DataFrame:
        """What was left out, as the table `Quarantine`."""
        return pd.DataFrame([vars(each) for each in self.rejected], columns=Quarantine.columns(), dtype="str")


def take(source: Source, taxonomy: Taxonomy, folder: Path, stored_size: int, max_quarantine: float) -> Taken:
    """Write the shards of a source's images.

    Args:
        source: whose files are on this machine.
        taxonomy: of the classes.
        folder: receives the shards.
        stored_size: shorter side of the stored images, pixels.
        max_quarantine: largest share of rows and surplus images that may be left out, 0 to 1.

    Raises:
        UserError: the source has no metadata that can be used, or too much of it would be left out.
    """
    metadata = find_metadata(source, taxonomy)
    parsed = parse_metadata(metadata)
    matched = match_images(source, parsed, metadata.table.entry.name)
    rejected = parsed.rejected + matched.rejected
    _refuse_if_too_many(rejected, matched.total, max_quarantine, source)
    damaged: list[Rejected] = []
    sizes: Counter[tuple[int, int]] = Counter()
    converted = convert_all(source.root.local, matched.entries, stored_size)
    write_shards(folder, matched.rows, _watched(converted, matched, damaged, sizes))
    rejected += damaged
    _refuse_if_too_many(rejected, matched.total, max_quarantine, source)
    return Taken(source, rejected, sizes, matched.merged, [*parsed.warnings, *_unreadable(source)])


def count_reasons(rejected: Iterable[Rejected]) -> dict[str, int]:
    """Rejected items per kind of problem, most frequent first."""
    return dict(Counter(rejection.reason.partition(":")[0] for rejection in rejected).most_common())


def _watched(
    converted: Iterator[Converted], matched: Matched, damaged: list[Rejected], sizes: Counter[tuple[int, int]]
) -> Iterator[Converted]:
    """Pass the images on; note the damaged ones and the originals' sizes, and report progress."""
    reported = 0.0
    for done, (entry, image) in enumerate(zip(matched.entries, converted, strict=True), start=1):
        if image.problem:
            damaged.append(Rejected(entry.stem, entry.name, image.problem))
        else:
            sizes[image.original] += 1
        yield image
        if time.monotonic() - reported > 0.2 or done == len(matched.entries):
            reported = time.monotonic()
            report("progress", done=done, total=len(matched.entries))


def _unreadable(source: Source) -> list[str]:
    """Warnings of what could not be looked into: nobody knows how much of the data lies there."""
    return [f"{each.name} is left out: {each.reason}." for each in source.passed_over if "unreadable" in each.reason]


def _refuse_if_too_many(rejected: list[Rejected], total: int, most: float, source: Source) -> None:
    """Fail the step rather than train on a remnant.

    Raises:
        UserError: more than the share `most` of `total` items was rejected, or all of them.
    """
    if len(rejected) <= most * total and len(rejected) < total:
        return
    counts = ", ".join(f"{number} x {reason}" for reason, number in count_reasons(rejected).items())
    first = rejected[0]
    raise UserError(
        f"{len(rejected)} of {total} rows and images in {source.address} are unusable ({len(rejected) / total:.1%}; "
        f"at most {most:.1%} may be): {counts}; the first: {first.item} in {first.file}, {first.reason}. "
        "Mend the data, or raise max_quarantine."
    )
