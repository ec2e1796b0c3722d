"""One fine-tune step: images, tables and a start in; a trained model folder out."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lesionflow.artifacts.images import read_taxonomy
from lesionflow.artifacts.model_folder import HISTORY, MODEL, TENSORBOARD, TRAINING, write_labels
from lesionflow.artifacts.training_record import Rows, TrainingRecord
from lesionflow.compat.keras_backend import versions
from lesionflow.compat.keras_randomness import make_deterministic
from lesionflow.components.finetune.examples import decode_beside
from lesionflow.components.finetune.fit import fit
from lesionflow.components.finetune.start import Start, load_start
from lesionflow.errors import UserError
from lesionflow.models.acceleration.accelerate import prepare_for
from lesionflow.models.classifier import build_core, set_trainable
from lesionflow.models.deployable import deployable
from lesionflow.recipe import PhaseName, Recipe, load_recipe
from lesionflow.runtime.files import whole_folder
from lesionflow.runtime.progress import report
from lesionflow.runtime.step_digest import step_digest
from lesionflow.taxonomy import Taxonomy
from lesionflow.training.checkpoint import Checkpoint
from lesionflow.training.device_plan import Plan, training_devices
from lesionflow.training.history import EpochRow, write_events, write_history

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Finetuned:
    """What a fine-tune step reached; the metadata of the model artifact."""

    best_epoch: int
    """The one that is kept; 0 for the start of the step, if no epoch was better."""
    val_macro_f1: float
    """That epoch's."""
    epochs: int
    seconds: float
    """Spent on all epochs."""
    parameters_trained: int
    parameters_total: int
    trains_from: str
    """The first block that trained, or "head"."""
    resumed_at_epoch: int
    """How many epochs an earlier try had done."""


def finetune(
    images: str,
    train: str,
    validation: str,
    model: str,
    phase: str,
    recipe: str = "published",
    weights: str = "imagenet",
    fingerprint: str = "",
    seed: int = 0,
    checkpoint_folder: str = "",
    start: str | None = None,
) -> Finetuned:
    """Run one of the three fine-tune steps.

    Args:
        images: folder of the images artifact.
        train: balanced table to learn from.
        validation: table to evaluate each epoch on.
        model: folder to write: `model.keras`, `labels.json`, `history.csv`, `training.json`, `tensorboard/`.
        phase: `head`, `partial` or `full`.
        recipe: what `load_recipe` understands.
        weights: where the head step starts: `imagenet`, `none`, or the path, gs:// or s3:// address of a
            `.weights.h5` file.
        fingerprint: of all data from outside; noted in `training.json`.
        seed: of everything random, >= 0.
        checkpoint_folder: folder, or gs:// or s3:// prefix, to save each epoch in and to go on from; empty for none.
        start: model folder of the step before; needed by `partial` and `full`.

    Raises:
        UserError: an input is missing, damaged or does not fit the others.
        Preempted: SIGTERM came while it trained with a checkpoint folder.
    """
    settings, name = _checked(phase, recipe, seed, start)
    step = _Step(settings, name, seed, fingerprint, read_taxonomy(images))
    return step.run(images, train, validation, Path(model), weights, start, checkpoint_folder)


def _checked(phase: str, recipe: str, seed: int, start: str | None) -> tuple[Recipe, PhaseName]:
    """Read the settings.

    Raises:
        UserError: they make no sense.
    """
    try:
        settings, name = load_recipe(recipe), PhaseName(phase)
    except ValueError:
        raise UserError(f"There is no fine-tune step {phase!r}; expected one of {', '.join(PhaseName)}.") from None
    if seed < 0:
        raise UserError(f"The seed is {seed}; expected 0 or more.")
    if (name is PhaseName.HEAD) != (start is None):
        needs = "starts from --weights, not from a model" if start else "starts from the model of the step before"
        raise UserError(f"The {name} step {needs}; pass `start` to partial and full, and to them only.")
    return settings, name


@dataclass(frozen=True)
class _Step:
    """The settings of one fine-tune step."""

    recipe: Recipe
    phase: PhaseName
    seed: int
    fingerprint: str
    taxonomy: Taxonomy

    def run(
        self, images: str, train: str, validation: str, model: Path, weights: str, start: str | None, checkpoints: str
    ) -> Finetuned:
        """Decode, build, train and write."""
        recipe = self.recipe
        pretrained = TrainingRecord.load(Path(start, TRAINING)).pretrained if start else weights != "none"
        prepare_for(recipe.batch_size, whole=not pretrained)  # from random weights the normalization trains
        decoding = decode_beside(images, train, validation, recipe.decode_size, self.taxonomy)  # its threads are here
        make_deterministic(self.seed)
        with training_devices(recipe.batch_size) as chosen:
            core = self._core()
            begin = load_start(core, recipe, weights, start, self.taxonomy)
            share = recipe.phase(self.phase).trainable
            trains_from = set_trainable(core, recipe.backbone, share, begin.pretrained)
            examples, validated = decoding.result()
            print(chosen.text, flush=True)
            inputs = self._inputs(begin, chosen)
            final, resumed_at = fit(core, recipe, self.phase, self.seed, examples, validated, inputs, checkpoints)
        rows = Rows(train=len(examples.labels), validation=len(validated.labels))
        record = self._record(begin, chosen, final, rows)
        deployed = core
        if chosen.devices:  # users' machines compute in single precision, and have no need of our GPUs
            deployed = self._core()
            deployed.set_weights(core.get_weights())
        self._write(model, deployed, [*begin.history, *final.history], record)
        _tell(final)
        best_epoch, reached = final.reached
        return Finetuned(
            best_epoch=best_epoch,
            val_macro_f1=reached,
            epochs=len(final.history),
            seconds=sum(row["seconds"] for row in final.history),
            parameters_trained=sum(int(np.prod(variable.shape)) for variable in core.trainable_variables),
            parameters_total=core.count_params(),
            trains_from=trains_from,
            resumed_at_epoch=resumed_at,
        )

    def _core(self) -> "keras.Model":
        recipe = self.recipe
        return build_core(recipe.backbone, recipe.input_size, recipe.dropout, len(self.taxonomy.codes))

    def _inputs(self, begin: Start, chosen: Plan) -> dict[str, object]:
        """List what the training is a function of, beside the images and weights; for the key of its checkpoints."""
        excluded = {"name", "test_time_augmentation", *PhaseName}
        return {
            "phase": self.phase,
            "recipe": self.recipe.model_dump(mode="json", exclude=excluded),
            "settings": self.recipe.phase(self.phase).model_dump(),
            "seed": self.seed,
            "pretrained": begin.pretrained,
            "precision": chosen.precision,
            "fingerprint": self.fingerprint,
            "versions": versions(),
            # Edited code, or a new image's libraries, must not go on from the old ones' epochs.
            "code": step_digest("finetune"),
        }

    def _record(self, begin: Start, chosen: Plan, final: Checkpoint, rows: Rows) -> TrainingRecord:
        """Note how the model was trained."""
        return TrainingRecord(
            phase=self.phase,
            recipe=self.recipe,
            seed=self.seed,
            weights=begin.weights,
            weights_sha256=begin.weights_sha256,
            pretrained=begin.pretrained,
            fingerprint=self.fingerprint,
            versions=versions(),
            devices=chosen.text,
            best_epoch=final.reached[0],
            rows=rows,
        )

    def _write(self, folder: Path, core: "keras.Model", rows: list[EpochRow], record: TrainingRecord) -> None:
        """Write the model folder."""
        recipe = self.recipe
        with whole_folder(folder) as temporary:
            deployable(core, recipe.decode_size, recipe.test_time_augmentation).save(temporary / MODEL)
            write_labels(temporary, recipe.decode_size, self.taxonomy)
            write_history(rows, temporary / HISTORY)
            record.write(temporary / TRAINING)
            write_events(rows, temporary / TENSORBOARD)


def _tell(final: Checkpoint) -> None:
    """Say what was reached, to the display and, if it is no epoch's, into the log."""
    best_epoch, reached = final.reached
    shown = f"val macro-F1 {reached:.3f}"
    if best_epoch == 0:
        trained = max(row["val_macro_f1"] for row in final.history)
        shown += f" of its start, which is kept: trained, {trained:.3f} at best"
        print(shown, flush=True)
    report("headline", text=shown)
