"""The two tables of a fine-tune step and their decoded images."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesionflow.artifacts.tables import Balanced, Labelled, Split
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
    ids, columns = _rows(train, Balanced, taxonomy)
    validation_ids, validation_columns = _rows(validation, Split, taxonomy)

    def decode() -> tuple[Examples, Examples]:
        pixels = load_pixels(images, [*ids, *validation_ids], size)
        return Examples(pixels[: len(ids)], **columns), Examples(pixels[len(ids) :], **validation_columns)

    beside = ThreadPoolExecutor(1, "decode")
    decoding = beside.submit(decode)
    beside.shutdown(wait=False)
    return decoding


def _rows(table: str, kind: type[Labelled], taxonomy: Taxonomy) -> tuple[list[str], _Columns]:
    """Read the image ids of a table, and all of its `Examples` but the pixels.

    Raises:
        UserError: there are no rows, or as `Labelled.load`.
    """
    frame = kind.load(table, taxonomy.codes)
    if frame.empty:
        raise UserError(f"The table {table} has no rows; expected images to train and validate on.")
    ones = pd.Series(1.0, frame.index)
    weight = frame.get("weight", ones).to_numpy(np.float32)
    sampling_weights = frame.get("sampling_weight", ones).to_numpy(np.float64)
    labels = np.asarray(frame["dx"].map(taxonomy.index), np.int32)
    return frame["image_id"].tolist(), _Columns(labels=labels, weight=weight, sampling_weights=sampling_weights)
