"""Example images for the report: what the model gets right, and its worst mistakes."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from components.common.image_table import read_images
from components.common.taxonomy import LABELS

_SIDE = 168  # pixels of the longer side in the report
_WRONG = 12


@dataclass(frozen=True)
class Example:
    """One test image."""

    image_id: str
    dx: str
    predicted: str
    probability: float
    """That the model gave to what it predicted."""
    source: str
    """The picture as a data URI."""


def pick_examples(scores: pd.DataFrame, images: str | Path) -> tuple[list[Example], list[Example]]:
    """Choose and load examples.

    Args:
        scores: image_id, dx, predicted, p_<label>; one row per test image.
        images: folder of the images artifact.

    Returns:
        The most confident right answer of each class, and the most confident wrong answers of all.
    """
    usable = scores[scores["predicted"].notna()].copy()
    usable["probability"] = usable[[f"p_{label}" for label in LABELS]].max(axis=1)
    usable = usable.sort_values(["probability", "image_id"], ascending=[False, True])
    is_right = usable["dx"] == usable["predicted"]
    right = usable[is_right].drop_duplicates("dx").sort_values("dx")
    wrong = usable[~is_right].head(_WRONG)
    sources = {
        image_id: _thumbnail(encoded)
        for image_id, encoded in read_images(images, {*right["image_id"], *wrong["image_id"]})
    }
    return _examples(right, sources), _examples(wrong, sources)


def _examples(rows: pd.DataFrame, sources: dict[str, str]) -> list[Example]:
    return [
        Example(row.image_id, row.dx, row.predicted, float(row.probability), sources[row.image_id])  # pyright: ignore
        for row in rows.itertuples()
    ]


def _thumbnail(encoded: bytes) -> str:
    with Image.open(io.BytesIO(encoded)) as image:
        small = image.convert("RGB")
    small.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
