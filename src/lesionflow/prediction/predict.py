"""Classify images with a published or freshly trained model."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from joblib import cpu_count

from lesionflow.artifacts.model_folder import Calibration, model_file, read_calibration, read_labels
from lesionflow.artifacts.version_card import CARD, VersionCard
from lesionflow.data.image_kind import RULES
from lesionflow.data.image_problem import ImageProblem
from lesionflow.data.pixels import Pixels, decode
from lesionflow.errors import UserError
from lesionflow.metrics.calibration import scale
from lesionflow.models.loaded_model import LoadedModel, load_model
from lesionflow.prediction.inputs import InputImage, PredictionInputs
from lesionflow.prediction.table import PredictionTable, Row, columns_of
from lesionflow.registry.versions import fetch_model
from lesionflow.runtime.files import file_digest

_BATCH = 256  # images decoded, classified and written at a time; a change of it changes last digits
_READERS = 8  # threads more than cores, for images that come over a network

Watch = Callable[[int, int], None]
"""Is told how many images are done, of how many."""
Say = Callable[[str], None]
"""Is told a sentence worth showing before the work."""


@dataclass(frozen=True)
class Predicted:
    """What a command did."""

    images: int
    failed: int
    """Images that could not be read; their rows say why."""
    found: int
    """Rows that an earlier command had written."""
    columns: tuple[str, ...]
    """Of the CSV."""
    first: list[Row]
    """Some rows from the top, as in the CSV."""


def predict(
    model_uri: str,
    images: Sequence[str],
    output: Path,
    watch: Watch = lambda done, total: None,
    say: Say = lambda sentence: None,
) -> Predicted:
    """Classify images and write a CSV with a probability per class.

    A killed command that is started again goes on at the batch where it was, and ends with the same bytes.

    Args:
        model_uri: a registry (its champion is used), a version in one, or a model folder; local, gs:// or s3://.
        images: files, zips and folders (searched at any depth), local, gs:// or s3://; an image's id is its
            file's name without suffix.
        output: the CSV.
        watch: told about the progress.
        say: told what lies at the output already, if it is of another model or other images.

    Raises:
        UserError: the model is unusable, there are no images, two have the same id, or none of them can be read.
    """
    with tempfile.TemporaryDirectory() as temporary, PredictionInputs(images) as inputs:
        pictures = inputs.pictures
        for note in inputs.notes:
            say(note)
        folder = fetch_model(model_uri, Path(temporary, "model"))
        calibration, (taxonomy, _) = read_calibration(folder), read_labels(folder)
        columns = columns_of(taxonomy.codes)
        if _is_synthetic(folder):
            say("The model was trained on synthetic data: what it says of real images means nothing.")
        made_from = _made_from(folder, calibration, columns, inputs.digest())
        ids = [picture.image_id for picture in pictures]
        with PredictionTable(output, made_from, ids, _BATCH, columns) as table:
            for note in table.notes():
                say(note)
            done = list(table.rows)
            if not table.finished:
                watch(len(table.rows), len(pictures))
                for rows in _classified(folder, calibration, pictures[len(done) :]):
                    table.append(rows)
                    done += rows
                    watch(len(done), len(pictures))
                table.finish()
            failed = sum(bool(row[-1]) for row in done)
            if failed == len(pictures):
                raise UserError(f"None of the {failed} images can be read; {output} has the reason of each.")
            return Predicted(len(pictures), failed, len(table.rows), columns, done[:20])


def _is_synthetic(folder: Path) -> bool:
    """Whether a version's card says that the model was trained on synthetic data."""
    return (folder / CARD).is_file() and VersionCard.load(folder / CARD).evaluation.data.synthetic


def _made_from(folder: Path, calibration: Calibration, columns: Sequence[str], images: str) -> dict[str, object]:
    """What the rows depend on."""
    content = {
        "model_sha256": file_digest(model_file(folder)),
        "calibration": asdict(calibration),
        "images": images,
        "columns": columns,
        "rules": RULES,
        "batch": _BATCH,
    }
    return {"key": hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(), **content}


def _classified(folder: Path, calibration: Calibration, pictures: Sequence[InputImage]) -> Iterator[list[Row]]:
    """The rows of one batch after the other; the next one is decoded meanwhile, so two are in memory."""
    if not pictures:
        return
    model = load_model(folder)
    threads = cpu_count() + (_READERS if any(picture.address.is_remote for picture in pictures) else 0)
    batches = [pictures[start : start + _BATCH] for start in range(0, len(pictures), _BATCH)]
    with ThreadPoolExecutor(threads) as pool:
        waiting = _submit(pool, batches[0], model.decode_size)
        try:
            for index, batch in enumerate(batches):
                decoded = [future.result() for future in waiting]
                if index + 1 < len(batches):
                    waiting = _submit(pool, batches[index + 1], model.decode_size)
                yield _rows(batch, decoded, model, calibration)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # a failed or interrupted command ends at once


def _submit(pool: ThreadPoolExecutor, batch: Sequence[InputImage], size: int) -> list[Future[Pixels | str]]:
    return [pool.submit(_decoded, picture, size) for picture in batch]


def _decoded(picture: InputImage, size: int) -> Pixels | str:
    """RGB, shape (size, size, 3); or why the image cannot be read."""
    try:
        return decode(picture.read(), size)
    except ImageProblem as problem:
        return str(problem)


def _rows(
    batch: Sequence[InputImage], decoded: Sequence[Pixels | str], model: LoadedModel, calibration: Calibration
) -> list[Row]:
    whole = [pixels for pixels in decoded if not isinstance(pixels, str)]
    probabilities = model.predict(np.stack(whole)) if whole else np.empty((0, len(model.labels)), np.float32)
    if not np.isfinite(probabilities).all():
        raise UserError("The model gives probabilities that are not numbers; its training went wrong.")
    calibrated = scale(probabilities, calibration.temperature)
    answers = iter(calibrated)
    return [
        _unread(picture, item, model) if isinstance(item, str) else _row(picture, next(answers), model, calibration)
        for picture, item in zip(batch, decoded, strict=True)
    ]


def _row(picture: InputImage, probabilities: np.ndarray, model: LoadedModel, calibration: Calibration) -> Row:
    abstain = ""
    if calibration.abstain_below is not None:
        abstain = "true" if probabilities.max() < calibration.abstain_below else "false"
    metrics = [f"{value:.6f}" for value in probabilities]
    return [picture.image_id, *metrics, model.labels[int(probabilities.argmax())], abstain, ""]


def _unread(picture: InputImage, reason: str, model: LoadedModel) -> Row:
    return [picture.image_id, *[""] * (len(columns_of(model.labels)) - 2), reason]
