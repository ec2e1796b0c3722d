"""The two tables of a fine-tune step and their decoded images."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from lesionflow.artifacts.tables import BALANCED_COLUMNS, SPLIT_COLUMNS, read_table
from lesionflow.data.pixels import load_pixels
from lesionflow.errors import UserError
from lesionflow.taxonomy import Taxonomy
from lesionflow.training.sampling import Examples


class _Columns(TypedDict):
    """`Examples` but for the pixels."""

    labels: NDArray[np.int32]
    weight: NDArray[np.float32]
    sampling_weights: NDArray[np.float64]


def decode_beside(
    images: str, train: str, validation: str, size: int, taxonomy: Taxonomy
) -> Future[tuple[Examples, Examples]]:
    """Read the two tables, and decode their images beside what comes next.

    Importing TensorFlow and building the network keep one core busy for seconds, decoding the others.
    All images are decoded in one go: one reading of the shards, one budget of memory.

    Raises:
        UserError: as `_rows`; the future's: as `load_pixels`.
    """
    ids, columns = _rows(train, BALANCED_COLUMNS, taxonomy)
    validation_ids, validation_columns = _rows(validation, SPLIT_COLUMNS, taxonomy)

    def decode() -> tuple[Examples, Examples]:
        pixels = load_pixels(images, [*ids, *validation_ids], size)
        return Examples(pixels[: len(ids)], **columns), Examples(pixels[len(ids) :], **validation_columns)

    beside = ThreadPoolExecutor(1, "decode")
    decoding = beside.submit(decode)
    beside.shutdown(wait=False)
    return decoding


def _rows(table: str, columns: tuple[str, ...], taxonomy: Taxonomy) -> tuple[list[str], _Columns]:
    """Read the image ids of a table, and all of its `Examples` but the pixels.

    Raises:
        UserError: a label is none of the classes, or weights or sampling weights make no sense.
    """
    frame = read_table(table, columns)
    if frame.empty:
        raise UserError(f"The table {table} has no rows; expected images to train and validate on.")
    if unknown := sorted(set(frame["dx"]) - set(taxonomy.codes)):
        raise UserError(f"The table {table} has the label {unknown[0]!r}; expected only {', '.join(taxonomy.codes)}.")
    ones = np.ones(len(frame))
    weight = frame["weight"].to_numpy(np.float32) if "weight" in columns else ones.astype(np.float32)
    sampling_weights = frame["sampling_weight"].to_numpy(np.float64) if "sampling_weight" in columns else ones
    for column, values in (("weight", weight), ("sampling_weight", sampling_weights)):
        if not (np.isfinite(values).all() and (values >= 0).all() and values.sum() > 0):
            raise UserError(
                f"The column {column} of {table} has negative, missing or only zero values; "
                "expected the table that the balance step wrote."
            )
    labels = np.asarray(frame["dx"].map(taxonomy.index), np.int32)
    return frame["image_id"].tolist(), _Columns(labels=labels, weight=weight, sampling_weights=sampling_weights)
