"""One fine-tune step: images, tables and a start in; a trained model folder out."""

import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from lesionflow.artifacts.images import read_taxonomy
from lesionflow.artifacts.model_folder import (
    HISTORY,
    MODEL,
    TENSORBOARD,
    TRAINING,
    model_file,
    read_labels,
    read_training,
    write_labels,
)
from lesionflow.artifacts.tables import BALANCED_COLUMNS, SPLIT_COLUMNS, read_table
from lesionflow.compat.keras_backend import make_deterministic, prepare, training_devices, versions
from lesionflow.data.pixel_store import pixels_digest
from lesionflow.data.pixels import load_pixels
from lesionflow.errors import UserError
from lesionflow.models.acceleration.program import core_shards
from lesionflow.models.classifier import build_core, set_trainable
from lesionflow.models.deployable import deployable
from lesionflow.models.published_weights import imagenet_weights
from lesionflow.models.weights import complete_loading, load_backbone_weights
from lesionflow.recipe import PhaseName, Recipe, load_recipe
from lesionflow.runtime.files import file_digest, whole_folder, write_json
from lesionflow.runtime.progress import report
from lesionflow.runtime.step_digest import step_digest
from lesionflow.storage import download, join
from lesionflow.taxonomy import Taxonomy
from lesionflow.training import checkpoint as checkpoints
from lesionflow.training.history import read_history, write_events, write_history
from lesionflow.training.preemption import termination_noted
from lesionflow.training.sampling import Examples

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class _Start:
    """What a step begins with, beside the weights themselves."""

    weights: str
    """As given to the head step."""
    weights_sha256: str
    """Of the file of starting weights; empty without one."""
    pretrained: bool
    history: list[dict[str, Any]]


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
) -> dict[str, Any]:
    """Run one of the three fine-tune steps.

    Args:
        images: folder of the images artifact.
        train: balanced table to learn from.
        validation: table to judge each epoch on.
        model: folder to write: `model.keras`, `labels.json`, `history.csv`, `training.json`, `tensorboard/`.
        phase: `head`, `partial` or `full`.
        recipe: what `load_recipe` understands.
        weights: where the head step starts: `imagenet`, `none`, or the path, gs:// or s3:// address of a
            `.weights.h5` file.
        fingerprint: of all data from outside; noted in `training.json`.
        seed: of everything random, >= 0.
        checkpoint_folder: folder, or gs:// or s3:// prefix, to save each epoch in and to go on from; empty for none.
        start: model folder of the step before; needed by `partial` and `full`.

    Returns:
        Metrics for the artifact's metadata: best_epoch (0: the start, if none was better), val_macro_f1, epochs,
        seconds, parameters_trained, parameters_total, trains_from, resumed_at_epoch.

    Raises:
        UserError: an input is missing, damaged or does not fit the others.
        Preempted: SIGTERM came while it trained with a checkpoint folder.
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
    taxonomy = read_taxonomy(images)
    decoding = _examples(images, train, validation, settings.decode_size, taxonomy)
    pretrained = read_training(start).get("pretrained") if start else weights != "none"
    # From random weights the normalization trains, which leaves batches whole: all threads at each operation, then.
    prepare(core_shards(settings.batch_size) if pretrained else 1)
    make_deterministic(seed)
    with training_devices(settings.batch_size) as chosen:
        core = build_core(settings.backbone, settings.input_size, settings.dropout, len(taxonomy.codes))
        begin = _load_start(core, settings, weights, start, taxonomy)
        phase_settings = settings.phase(name)
        trains_from = set_trainable(core, settings.backbone, phase_settings.trainable, begin.pretrained)
        examples, judged_on = decoding.result()
        inputs = {
            "phase": name,
            "recipe": settings.model_dump(mode="json", exclude={"name", "test_time_augmentation", *PhaseName}),
            "settings": phase_settings.model_dump(),
            "seed": seed,
            "pretrained": begin.pretrained,
            "precision": chosen.precision,
            "fingerprint": fingerprint,
            "versions": versions(),
            # Edited code, or a new image's libraries, must not go on from the old ones' epochs.
            "code": step_digest("finetune"),
        }
        print(chosen.text, flush=True)
        final, resumed_at = _train(core, settings, name, seed, examples, judged_on, inputs, checkpoint_folder)

    rows = [*begin.history, *final.history]
    best_epoch, reached = final.reached
    training = {
        "phase": name,
        "recipe": settings.model_dump(mode="json"),
        "seed": seed,
        "weights": begin.weights,
        "weights_sha256": begin.weights_sha256,
        "pretrained": begin.pretrained,
        "fingerprint": fingerprint,
        "versions": versions(),
        "devices": chosen.text,
        "best_epoch": best_epoch,
        "rows": {"train": len(examples.labels), "validation": len(judged_on.labels)},
    }
    deployed = core
    if chosen.devices:  # users' machines compute in single precision, and have no need of our GPUs
        deployed = build_core(settings.backbone, settings.input_size, settings.dropout, len(taxonomy.codes))
        deployed.set_weights(core.get_weights())
    _write_model(Path(model), deployed, settings, rows, training, taxonomy)
    facts = {
        "best_epoch": best_epoch,
        "val_macro_f1": reached,
        "epochs": len(final.history),
        "seconds": sum(row["seconds"] for row in final.history),
        "parameters_trained": sum(int(np.prod(variable.shape)) for variable in core.trainable_variables),
        "parameters_total": core.count_params(),
        "trains_from": trains_from,
        "resumed_at_epoch": resumed_at,
    }
    shown = f"val macro-F1 {reached:.3f}"
    if best_epoch == 0:
        trained = max(row["val_macro_f1"] for row in final.history)
        shown += f" of its start, which is kept: trained, {trained:.3f} at best"
        print(shown, flush=True)
    report("headline", text=shown)
    return facts


def _examples(
    images: str, train: str, validation: str, size: int, taxonomy: Taxonomy
) -> "Future[tuple[Examples, Examples]]":
    """Read the two tables, and decode their images beside what comes next.

    Importing TensorFlow and building the network keep one core busy for seconds, decoding the others.
    All images are decoded in one go: one reading of the shards, one budget of memory.

    Raises:
        UserError: as `_rows`; the future's: as `load_pixels`.
    """
    ids, columns = _rows(train, BALANCED_COLUMNS, taxonomy)
    judged_ids, judged_columns = _rows(validation, SPLIT_COLUMNS, taxonomy)

    def decode() -> tuple[Examples, Examples]:
        pixels = load_pixels(images, [*ids, *judged_ids], size)
        return Examples(pixels[: len(ids)], **columns), Examples(pixels[len(ids) :], **judged_columns)

    beside = ThreadPoolExecutor(1, "decode")
    decoding = beside.submit(decode)
    beside.shutdown(wait=False)
    return decoding


def _rows(table: str, columns: tuple[str, ...], taxonomy: Taxonomy) -> tuple[list[str], dict[str, Any]]:
    """Image ids of a table, and all of its `Examples` but the pixels.

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
    labels = np.array([taxonomy.index[dx] for dx in frame["dx"]], np.int32)
    return frame["image_id"].tolist(), {"labels": labels, "weight": weight, "sampling_weights": sampling_weights}


def _load_start(core: "keras.Model", recipe: Recipe, weights: str, start: str | None, taxonomy: Taxonomy) -> _Start:
    """Put the starting weights into `core`."""
    if start is not None:
        begin, (known, _) = read_training(start), read_labels(start)
        if known.codes != taxonomy.codes:
            raise UserError(
                f"The model in {start} knows the classes {', '.join(known.codes)}, and the images have "
                f"{', '.join(taxonomy.codes)}; pass the model of the step before."
            )
        try:
            with complete_loading():
                deployable(core, recipe.decode_size).load_weights(model_file(start))
            return _Start(
                begin["weights"], begin["weights_sha256"], begin["pretrained"], read_history(Path(start) / HISTORY)
            )
        except (ValueError, KeyError, OSError, UserWarning) as error:
            raise UserError(
                f"The model in {start} does not fit this step ({' '.join(str(error).split())[:200]}); expected "
                f"the model of the step before, with the backbone {recipe.backbone}."
            ) from error
    if weights == "none":
        return _Start(weights, "", pretrained=False, history=[])
    if weights == "imagenet":
        path = imagenet_weights(recipe.backbone)
        load_backbone_weights(core, path)
        return _Start(weights, file_digest(path), pretrained=True, history=[])
    with TemporaryDirectory(prefix="weights-") as folder:
        path = download(weights, folder)
        load_backbone_weights(core, path)
        return _Start(weights, file_digest(path), pretrained=True, history=[])


def _train(
    core: "keras.Model",
    recipe: Recipe,
    phase: PhaseName,
    seed: int,
    examples: Examples,
    validation: Examples,
    inputs: dict[str, Any],
    folder: str,
) -> tuple[checkpoints.Checkpoint, int]:
    """Train `core` to the end of the step, going on from a checkpoint if there is one.

    Returns:
        The last state, and how many epochs were there already.
    """
    from lesionflow.training.epochs import steps_per_epoch, train, training_model
    from lesionflow.training.features import features_stay, head_of, with_features

    learner, learned, judged = core, examples, validation
    if features_stay(core, recipe):
        learner = head_of(core)
        learned, judged = (with_features(core, recipe, part) for part in (examples, validation))
    model = training_model(learner, recipe, recipe.phase(phase), steps_per_epoch(examples, recipe))
    order = [*PhaseName].index(phase)
    # Steps with the same seed must not repeat each other's row order and augmentation.
    step_seed = int(np.random.SeedSequence([seed, order]).generate_state(1)[0])
    if not folder:
        return train(model, learned, judged, recipe, phase, step_seed, None, lambda _: None), 0
    key = checkpoints.key(
        {**inputs, "pixels": [pixels_digest(examples.pixels), pixels_digest(validation.pixels)]},
        *(examples.labels, examples.weight, examples.sampling_weights, validation.labels),
        *(weight.numpy() for weight in core.weights),
    )
    place = join(folder, f"{phase}-{key}")
    with checkpoints.locked(place), termination_noted() as asked_to_stop:
        try:
            state = checkpoints.load(place)
        except checkpoints.DamagedCheckpoint as damage:
            print(f"The checkpoint is damaged ({damage}): this step trains from its first epoch.", file=sys.stderr)
            state = None
        if state:
            batch = f", batch {state.under_way.batches}," if state.under_way else ""
            print(f"Going on after epoch {len(state.history)}{batch} from {place}", flush=True)
        done = len(state.history) if state else 0
        save = partial(checkpoints.save, place)
        return train(model, learned, judged, recipe, phase, step_seed, state, save, asked_to_stop), done


def _write_model(
    folder: Path,
    core: "keras.Model",
    recipe: Recipe,
    rows: list[dict[str, Any]],
    training: dict[str, Any],
    taxonomy: Taxonomy,
) -> None:
    with whole_folder(folder) as temporary:
        deployable(core, recipe.decode_size, recipe.test_time_augmentation).save(temporary / MODEL)
        write_labels(temporary, recipe.decode_size, taxonomy)
        write_history(rows, temporary / HISTORY)
        write_json(temporary / TRAINING, training)
        write_events(rows, temporary / TENSORBOARD)
