"""What a fine-tune step begins with."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lesionflow.artifacts.model_folder import HISTORY, TRAINING, model_file, read_labels
from lesionflow.artifacts.training_record import TrainingRecord
from lesionflow.compat.keras_loading import complete_loading
from lesionflow.errors import UserError
from lesionflow.models.deployable import deployable
from lesionflow.models.published_weights import imagenet_weights
from lesionflow.models.weights import load_backbone_weights
from lesionflow.recipe import Recipe
from lesionflow.runtime.files import file_digest
from lesionflow.storage import download
from lesionflow.taxonomy import Taxonomy
from lesionflow.training.history import EpochRow, read_history

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Start:
    """What a step begins with, beside the weights themselves."""

    weights: str
    """As given to the head step."""
    weights_sha256: str
    """SHA-256 of the file of starting weights; empty without one."""
    pretrained: bool
    history: list[EpochRow]
    """All epochs of the steps before."""


def load_start(core: "keras.Model", recipe: Recipe, weights: str, start: str | None, taxonomy: Taxonomy) -> Start:
    """Put the starting weights into `core`."""
    if start is not None:
        begin, (known, _) = TrainingRecord.load(Path(start, TRAINING)), read_labels(start)
        if known.codes != taxonomy.codes:
            raise UserError(
                f"The model in {start} knows the classes {', '.join(known.codes)}, and the images have "
                f"{', '.join(taxonomy.codes)}; pass the model of the step before."
            )
        try:
            with complete_loading():
                deployable(core, recipe.decode_size).load_weights(model_file(start))
            return Start(begin.weights, begin.weights_sha256, begin.pretrained, read_history(Path(start) / HISTORY))
        except (ValueError, KeyError, OSError, UserWarning) as error:
            raise UserError(
                f"The model in {start} does not fit this step ({' '.join(str(error).split())[:200]}); expected "
                f"the model of the step before, with the backbone {recipe.backbone}."
            ) from error
    if weights == "none":
        return Start(weights, "", pretrained=False, history=[])
    if weights == "imagenet":
        path = imagenet_weights(recipe.backbone)
        load_backbone_weights(core, path)
        return Start(weights, file_digest(path), pretrained=True, history=[])
    with TemporaryDirectory(prefix="weights-") as folder:
        path = download(weights, folder)
        load_backbone_weights(core, path)
        return Start(weights, file_digest(path), pretrained=True, history=[])
