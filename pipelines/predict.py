"""Classify images with a published or freshly trained model."""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import cpu_count
from PIL import Image

from components.common import storage
from components.common.errors import UserError
from components.common.files import whole_file
from components.common.model_folder import load_model
from components.common.pixels import Pixels, decode
from components.promote.registry import fetch_model

SUFFIXES = (".jpg", ".jpeg", ".png")
"""Files of a folder that are images, in lower case; a file named by itself may be of any kind that Pillow reads."""

_BATCH = 256  # images decoded at a time


def predict(model_uri: str, images: Sequence[str], output: Path) -> pd.DataFrame:
    """Classify images and write a CSV: image_id, one probability per class in alphabetical order, predicted.

    Args:
        model_uri: a registry (its champion is used), a version in one, or a model folder; local, gs:// or s3://.
        images: files and folders (searched at any depth), local, gs:// or s3://; an image's id is its
            file's name without suffix.
        output: the CSV.

    Returns:
        What was written, in the order of `images`, folders sorted by path.

    Raises:
        UserError: the model is unusable, there are no images, two have the same id, or one cannot be read.
            Nothing is written then.
    """
    with tempfile.TemporaryDirectory() as temporary:
        files = _find_images(images, Path(temporary))
        model = load_model(fetch_model(model_uri, Path(temporary, "model")))
        parts = [
            model.predict(_decode(files[start : start + _BATCH], model.image_size))
            for start in range(0, len(files), _BATCH)
        ]
    probabilities = np.concatenate(parts)
    if not np.isfinite(probabilities).all():
        raise UserError(f"The model {model_uri} gives probabilities that are not numbers; its training went wrong.")
    table = pd.DataFrame(probabilities.astype(np.float64).round(6), columns=list(model.labels))
    table.insert(0, "image_id", [file.stem for file in files])
    table["predicted"] = [model.labels[index] for index in probabilities.argmax(axis=1)]
    with whole_file(output) as part:
        table.to_csv(part, index=False)
    return table


def _find_images(images: Sequence[str], temporary: Path) -> list[Path]:
    """The image files, downloaded if need be; each file once."""
    found: dict[Path, Path] = {}
    for number, uri in enumerate(images):
        path = storage.download(uri, temporary / f"images-{number}")
        if path.is_dir():
            visible = (file for file in path.rglob("*") if not file.name.startswith("."))
            files = sorted(file for file in visible if file.suffix.lower() in SUFFIXES)
            if not files:
                raise UserError(f"There are no images below {uri}; expected files with {', '.join(SUFFIXES)}.")
        elif path.is_file():
            files = [path]
        else:
            raise UserError(f"There is no image or folder {uri}.")
        for file in files:
            found.setdefault(file.resolve(), file)
    if not found:
        raise UserError("No images were named; name at least one file or folder.")
    by_id: dict[str, Path] = {}
    for file in found.values():
        if file.stem in by_id:
            raise UserError(
                f"{by_id[file.stem]} and {file} have the same name, which would be their image_id; "
                "rename one or classify them separately."
            )
        by_id[file.stem] = file
    return list(by_id.values())


def _decode(files: Sequence[Path], size: int) -> Pixels:
    """RGB, shape (len(files), size, size, 3)."""

    def read(file: Path) -> Pixels:
        try:
            return decode(file.read_bytes(), size)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # what Pillow raises
            raise UserError(f"{file} is not a readable image ({error}); nothing was written.") from None

    with ThreadPoolExecutor(cpu_count()) as pool:
        return np.stack(list(pool.map(read, files)))
