"""Source to images artifact: every image decoded, checked and downscaled once, bad ones set aside."""

from typing import Any

from lesionflow.artifacts.images import DATA_CARD, README, read_metadata, write_taxonomy
from lesionflow.artifacts.tables import Quarantine
from lesionflow.components.ingest.data_card import make_data_card, render_data_card, render_data_card_markdown
from lesionflow.components.ingest.take import Taken, take
from lesionflow.data.source import local_source
from lesionflow.errors import UserError
from lesionflow.runtime.files import whole_folder, write_json, write_text
from lesionflow.runtime.progress import report
from lesionflow.taxonomy import load_taxonomy


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
    """Read a source in any layout in which it is found and write the images artifact.

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
        taken = take(found, classes, folder, stored_size, max_quarantine)
        card = make_data_card(
            read_metadata(folder), classes, taken, source=source, fingerprint=fingerprint, stored_size=stored_size
        )
        write_taxonomy(folder, classes)
        write_json(folder / DATA_CARD, card)
        write_text(folder / README, render_data_card_markdown(card, classes))
        Quarantine.store(taken.quarantine(), quarantine)
        write_text(data_card, render_data_card(card, classes))
    return _headline(card, taken)


def _headline(card: dict[str, Any], taken: Taken) -> dict[str, Any]:
    """Say what was done, and give the metrics of it."""
    passed_over = taken.source.passed_over
    unused = f", {len(passed_over):,} files not used" if passed_over else ""
    text = f"{card['images']:,} images of {card['lesions']:,} lesions, {len(taken.rejected)} quarantined{unused}"
    report("headline", text=text)
    same = ("missing", "source", "synthetic", "fingerprint", "stored_size", "licence", "taxonomy")
    return {
        "images": card["images"],
        "lesions": card["lesions"],
        "counts": {dx: count["images"] for dx, count in card["counts"].items()},
        "quarantined": len(taken.rejected),
        **{name: card[name] for name in same},
    }
