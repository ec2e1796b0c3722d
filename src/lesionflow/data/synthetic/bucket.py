"""Synthetic data written to an object store."""

import tempfile
from pathlib import Path

from lesionflow import storage
from lesionflow.data.source import SYNTHETIC_MARKER
from lesionflow.data.synthetic.dataset import METADATA, ZIPS, write_synthetic
from lesionflow.errors import UserError
from lesionflow.storage import Address, AnyAddress


def write_synthetic_to_bucket(
    place: AnyAddress,
    images: int = 700,
    size: tuple[int, int] = (200, 150),
    seed: int = 0,
    shuffle_labels: bool = False,
) -> dict[str, int]:
    """Write synthetic data below a prefix, as `write_synthetic` does into a folder.

    Objects appear one by one: first the note that the images are synthetic, last the metadata, without which nothing
    takes them for a data set. So what an interrupted command left is no data set, and the next one replaces it.

    Args:
        place: prefix in an object store; with nothing below it, or what an interrupted command left.
        images: and the rest as of `write_synthetic`.
        size: likewise.
        seed: likewise.
        shuffle_labels: likewise.

    Returns:
        As `write_synthetic`.

    Raises:
        UserError: there is something else, the bucket cannot be reached or written, or a number is too small.
    """
    place = Address.parse(place)
    there = {file.name for file in storage.list_files(place)} if storage.exists(place) else set[str]()
    if METADATA in there or not there <= {SYNTHETIC_MARKER, *ZIPS}:
        raise UserError(f"{place} is not empty; give a new prefix for the synthetic data.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "data")
        counts = write_synthetic(folder, images, size, seed, shuffle_labels)
        for name in (SYNTHETIC_MARKER, *ZIPS, METADATA):
            storage.write_bytes(place / name, (folder / name).read_bytes())
    return counts
