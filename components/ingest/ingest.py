"""Source to images artifact: every image decoded, checked and downscaled once, bad ones set aside."""

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pandas as pd

from lesionflow.artifacts.images import DATA_CARD, README, read_metadata, write_taxonomy
from lesionflow.artifacts.tables import write_table
from lesionflow.components.ingest.convert import Converted, convert_all
from lesionflow.components.ingest.data_card import (
    count_reasons,
    make_data_card,
    render_data_card,
    render_data_card_markdown,
)
from lesionflow.components.ingest.shards import write_shards
from lesionflow.data.match import Matched, match_images
from lesionflow.data.metadata import Rejected, find_metadata, parse_metadata
from lesionflow.data.source import Source, local_source
from lesionflow.errors import UserError
from lesionflow.runtime.files import whole_folder, write_json, write_text
from lesionflow.runtime.progress import report
from lesionflow.taxonomy import load_taxonomy

QUARANTINE_COLUMNS = ("item", "file", "reason")


def ingest(
    source: str,
    fingerprint: str,
    images: str,
    quarantine: str,
    data_card: str,
    stored_size: int = 256,
    max_quarantine: float = 0.01,
    taxonomy: str = "ham10000",
) -> dict[str, Any]:
    """Read a source in any layout in which HAM10000 is found and write the images artifact.

    The same input gives the same bytes, on however many cores.

    Args:
        source: folder, or gs:// or s3:// prefix.
        fingerprint: of the source; goes into the data card.
        images: folder to write: Parquet shards (see `artifacts.images`), taxonomy.json, data_card.json, and README.md,
            the same as a card that data hubs read.
        quarantine: Parquet file to write: item, file and reason of everything left out.
        data_card: HTML file to write.
        stored_size: shorter side of the stored images, pixels; images are never enlarged.
        max_quarantine: largest share of rows and surplus images that may be left out, 0 to 1.
        taxonomy: of the classes, as `load_taxonomy` understands it.

    Returns:
        Metrics for the artifact's metadata.

    Raises:
        UserError: the source cannot be used, or too much of it would be left out.
    """
    if stored_size < 32:
        raise UserError(f"stored_size is {stored_size}; expected 32 pixels or more.")
    if not 0 <= max_quarantine <= 1:
        raise UserError(f"max_quarantine is {max_quarantine}; expected a share from 0 to 1.")
    classes = load_taxonomy(taxonomy)
    with local_source(source) as found, whole_folder(images) as folder:
        for note in found.notes():
            print(note, flush=True)
        metadata = find_metadata(found, classes)
        parsed = parse_metadata(metadata)
        matched = match_images(found, parsed, metadata.table.entry.name)
        rejected = parsed.rejected + matched.rejected
        _refuse_if_too_many(rejected, matched.total, max_quarantine, found)
        damaged: list[Rejected] = []
        sizes: Counter[tuple[int, int]] = Counter()
        converted = convert_all(found.root, matched.entries, stored_size)
        write_shards(folder, matched.rows, _watched(converted, matched, damaged, sizes))
        rejected += damaged
        _refuse_if_too_many(rejected, matched.total, max_quarantine, found)
        card = make_data_card(
            read_metadata(folder),
            classes,
            source=source,
            synthetic=found.synthetic,
            fingerprint=fingerprint,
            stored_size=stored_size,
            original_sizes=sizes,
            rejected=rejected,
            merged=matched.merged,
            masks=found.masks,
            passed_over=found.passed_over,
            warnings=[*parsed.warnings, *_unreadable(found)],
        )
        write_taxonomy(folder, classes)
        write_json(folder / DATA_CARD, card)
        write_text(folder / README, render_data_card_markdown(card, classes))
        write_table(pd.DataFrame([vars(each) for each in rejected], columns=list(QUARANTINE_COLUMNS)), quarantine)
        write_text(data_card, render_data_card(card, classes))
    unused = f", {len(found.passed_over):,} files not used" if found.passed_over else ""
    text = f"{card['images']:,} images of {card['lesions']:,} lesions, {len(rejected)} quarantined{unused}"
    report("headline", text=text)
    return {
        "images": card["images"],
        "lesions": card["lesions"],
        "counts": {dx: count["images"] for dx, count in card["counts"].items()},
        "quarantined": len(rejected),
        "missing": card["missing"],
        "source": source,
        "synthetic": card["synthetic"],
        "fingerprint": fingerprint,
        "stored_size": stored_size,
        "licence": card["licence"],
        "taxonomy": classes.name,
    }


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
        f"{len(rejected)} of {total} rows and images in {source.uri} are unusable ({len(rejected) / total:.1%}; "
        f"at most {most:.1%} may be): {counts}; the first: {first.item} in {first.file}, {first.reason}. "
        "Mend the data, or raise max_quarantine."
    )
