"""Example images for the report: what the model gets right, and its worst mistakes, with where it looked."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from lesionflow.artifacts.evaluation import ExampleFacts, ExamplesShown, Strongest
from lesionflow.artifacts.images import read_images
from lesionflow.artifacts.tables import probability_columns
from lesionflow.data.image_reader import read_image
from lesionflow.data.pixels import decode
from lesionflow.models.loaded_model import LoadedModel
from lesionflow.reporting.attention import occlusion_maps
from lesionflow.taxonomy import Taxonomy

_SIDE = 168  # pixels of the longer side in the report
_WRONG = 12
_LITTLE = 0.1  # in log-odds; a cover that changes less than 0.50 to 0.525 decides nothing


@dataclass(frozen=True)
class Example:
    """One test image."""

    image_id: str
    dx: str
    predicted: str
    probability: float
    """That the model gave to what it predicted."""
    strongest: Strongest | None
    """None if no single place decides, or nobody looked."""
    source: str = field(repr=False)
    """The picture as a data URI."""
    spotlight: str | None = field(default=None, repr=False)
    """The picture with what speaks for the answer in full colour and the rest faded, as a data URI."""

    def facts(self) -> ExampleFacts:
        """What the evaluation file says of it."""
        return ExampleFacts(
            image_id=self.image_id,
            dx=self.dx,
            predicted=self.predicted,
            probability=self.probability,
            strongest=self.strongest,
        )


@dataclass(frozen=True)
class ReportExamples:
    """The images that the report shows."""

    right: list[Example]
    """The most confident right answer of each class."""
    wrong: list[Example]
    """The most confident wrong answers of all, the worst first."""

    def facts(self) -> ExamplesShown:
        """What the evaluation file says of them."""
        return ExamplesShown(
            right=tuple(example.facts() for example in self.right),
            wrong=tuple(example.facts() for example in self.wrong),
        )


def pick_examples(
    scores: pd.DataFrame, images: str | Path, taxonomy: Taxonomy, model: LoadedModel | None = None
) -> ReportExamples:
    """Choose and load examples.

    Args:
        scores: image_id, dx, predicted, p_<label>; one row per test image.
        images: folder of the images artifact.
        taxonomy: of their classes.
        model: gave the scores; without it the examples do not say where it looked.
    """
    usable = scores[scores["predicted"].notna()].copy()
    usable["probability"] = usable[[*probability_columns(taxonomy.codes)]].max(axis=1)
    usable = usable.sort_values(["probability", "image_id"], ascending=[False, True])
    is_right = usable["dx"] == usable["predicted"]
    right = usable[is_right].drop_duplicates("dx").sort_values("dx", key=lambda dx: dx.map(taxonomy.index))
    wrong = usable[~is_right].head(_WRONG)
    chosen = pd.concat([right, wrong])
    encoded = dict(read_images(images, set(chosen["image_id"])))
    loaded = [encoded[image_id] for image_id in chosen["image_id"]]
    maps = _look(model, loaded, chosen["predicted"].tolist()) if model and loaded else None
    examples = [
        _example(row, loaded[index], maps and (maps[0][index], maps[1][index]))
        for index, row in enumerate(chosen.itertuples())
    ]
    return ReportExamples(examples[: len(right)], examples[len(right) :])


def format_sure(probability: float) -> str:
    """A probability with three digits that does not say 1 or 0 unless it is."""
    if 0.9995 <= probability < 1:
        return "over 0.999"
    return "under 0.001" if 0 < probability < 0.0005 else f"{probability:.3f}"


_Maps = tuple[NDArray[np.float64], NDArray[np.float64]]


def _look(model: LoadedModel, encoded: Sequence[bytes], predicted: Sequence[str]) -> _Maps:
    pixels = np.stack([decode(image, model.decode_size) for image in encoded])
    return occlusion_maps(model, pixels, np.array([model.taxonomy.index[label] for label in predicted]))


def _example(row: Any, encoded: bytes, maps: _Maps | None) -> Example:
    with read_image(encoded) as read:
        small = read.image.copy()
        small.thumbnail((_SIDE, _SIDE))
    strongest, spotlight = None, None
    if maps:
        falls, covered = maps
        spotlight = _data_uri(_lit(small, falls))
        if falls.max() >= _LITTLE:
            strongest = Strongest(place=_place(falls), covered=float(covered.flat[falls.argmax()]))
    return Example(row.image_id, row.dx, row.predicted, float(row.probability), strongest, _data_uri(small), spotlight)


def _lit(image: Image.Image, falls: NDArray[np.float64]) -> Image.Image:
    """The image with the places that speak for the answer as they are, and the others grey and dark."""
    strength = np.clip(falls / max(falls.max(), _LITTLE), 0, 1)
    mask = Image.fromarray((255 * strength).astype(np.uint8)).resize(image.size, Image.Resampling.BICUBIC)
    faded = image.convert("L").point([value * 3 // 10 for value in range(256)]).convert("RGB")
    return Image.composite(image, faded, mask)


def _place(falls: NDArray[np.float64]) -> str:
    """The ninth of the image in which the largest value lies."""
    side = falls.shape[0]
    row, column = (int((index + 0.5) * 3 / side) for index in np.unravel_index(falls.argmax(), falls.shape))
    words = [word for word in (("top", "", "bottom")[row], ("left", "", "right")[column]) if word]
    return " ".join(words) or "centre"


def _data_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
