"""The picture sheet on which a person confirms or rejects what the search found."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesionflow.artifacts.images import read_images
from lesionflow.data.near_duplicates.features import decode_to_match
from lesionflow.reporting.page import load_template, render_page

_MOST = 300  # pairs with pictures; a page with more would be too large for a browser

_STYLE = """
.pair { margin: 1rem 0 1.5rem; break-inside: avoid; }
.pair .three { display: grid; grid-template-columns: repeat(3, 1fr); gap: .4rem; max-width: 46rem; }
.pair img { width: 100%; height: auto; display: block; background: var(--raised); }
"""


@dataclass(frozen=True)
class PairPicture:
    """A row of the table and its three pictures, as data URIs."""

    row: Any
    one: str
    other: str
    laid: str
    """The first image laid onto the second."""


def render_sheet(
    table: pd.DataFrame, transforms: Sequence[NDArray[np.float64]], images: str | Path, facts: Mapping[str, Any]
) -> str:
    """The page.

    Args:
        table: the pairs, the surest first.
        transforms: of each pair, (2, 3): pixel coordinates of the first image to those of the second.
        images: folder of the images artifact.
        facts: what `find_duplicates` returns.

    Returns:
        A complete HTML document.
    """
    shown = table.head(_MOST)
    wanted = {*shown["image_id_1"], *shown["image_id_2"]}
    pixels = {name: decode_to_match(encoded, name, colour=True) for name, encoded in read_images(images, wanted)}
    pictures = [
        _picture(row, pixels[str(row.image_id_1)], pixels[str(row.image_id_2)], transform)
        for row, transform in zip(shown.itertuples(), transforms, strict=False)
    ]
    template = load_template(Path(__file__).with_name("sheet.html.j2"))
    body = template.render(pictures=pictures, facts=facts, left=len(table) - len(shown))
    return render_page("lesionflow: near-duplicate images", body, _STYLE)


def _picture(row: Any, one: NDArray[np.uint8], other: NDArray[np.uint8], transform: NDArray[np.float64]) -> PairPicture:
    import cv2

    laid = cv2.warpAffine(one, transform, (other.shape[1], other.shape[0]), borderValue=(128, 128, 128))
    return PairPicture(row, _uri(one), _uri(other), _uri(np.asarray(laid, np.uint8)))


def _uri(pixels: NDArray[np.uint8]) -> str:
    import cv2

    _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
