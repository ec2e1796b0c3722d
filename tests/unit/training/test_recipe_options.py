"""Everything that a recipe may switch on, in a whole fine-tune step on small data."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_data import RECIPE, SIZE, Data

from lesionflow.data.pixels import load_pixels
from lesionflow.errors import Preempted
from lesionflow.models.classifier import CORE
from lesionflow.models.loaded_model import load_model
from lesionflow.training import checkpoint as checkpoints
from lesionflow.training.callbacks import BatchProgress

pytestmark = pytest.mark.slow  # trains

EVERYTHING: dict[str, Any] = {
    "balance": "effective-number",
    "augmentation": {
        "vertical_flip": True,
        "crop": 0.6,
        "brightness": 0.1,
        "contrast": 0.1,
        "saturation": 0.1,
        "hue": 0.02,
    },
    "mix": "mixup",
    "ema": 0.9,
    "test_time_augmentation": 4,
}


def weights(model: Path) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in load_model(model).model.get_layer(CORE).weights]


def test_with_everything_on_a_training_broken_between_and_within_epochs_ends_with_the_same_bits(
    data: Data, head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def train(name: str, **options: Any) -> dict[str, Any]:
        return data.finetune(tmp_path / name, "partial", start=str(head), changes=EVERYTHING, **options)

    metrics = train("unbroken")
    count = BatchProgress.on_train_batch_end

    def terminated(progress: BatchProgress, batch: int, logs: Any = None) -> None:
        count(progress, batch, logs)
        if progress.done in (6, 9):  # of three epochs of six batches
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(BatchProgress, "on_train_batch_end", terminated)
    for place in ("after epoch 1 of 3", "in epoch 2 after batch 3 of 6"):
        with pytest.raises(Preempted, match=place):
            train("broken", checkpoint_folder=str(tmp_path / "c"))
    assert train("broken", checkpoint_folder=str(tmp_path / "c"))["best_epoch"] == metrics["best_epoch"]
    for left, right in zip(weights(tmp_path / "unbroken"), weights(tmp_path / "broken"), strict=True):
        np.testing.assert_array_equal(left, right)
    columns = ["loss", "accuracy", "val_loss", "val_macro_f1", "learning_rate"]
    left, right = (pd.read_csv(tmp_path / name / "history.csv")[columns] for name in ("unbroken", "broken"))
    pd.testing.assert_frame_equal(left, right, check_exact=True)


def test_the_average_of_the_weights_is_judged_and_kept_and_the_weights_train_on(
    data: Data, head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from lesionflow.training import epochs

    judged: list[np.ndarray] = []
    validate = epochs.validate

    def note(model: Any, *rest: Any) -> tuple[float, float]:
        judged.append(np.asarray(model.trainable_variables[0]))
        return validate(model, *rest)[0], len(judged) / 10  # the last epoch is the best

    saved: list[checkpoints.Checkpoint] = []
    monkeypatch.setattr(epochs, "validate", note)
    monkeypatch.setattr(checkpoints, "save", lambda _, state: saved.append(state))
    data.finetune(
        tmp_path / "model", "partial", start=str(head), changes={"ema": 0.9}, checkpoint_folder=str(tmp_path / "c")
    )
    monkeypatch.setattr(epochs, "validate", validate)
    plain: list[checkpoints.Checkpoint] = []
    monkeypatch.setattr(checkpoints, "save", lambda _, state: plain.append(state))
    data.finetune(tmp_path / "plain", "partial", start=str(head), checkpoint_folder=str(tmp_path / "c"))
    # Averaging watches the training and does not touch it.
    for averaged, other in zip(saved, plain, strict=True):
        np.testing.assert_array_equal(averaged.weights[0], other.weights[0])
    assert len(judged) == 1 + 3  # the start, then each epoch
    assert not np.array_equal(judged[1], saved[0].weights[0])
    np.testing.assert_array_equal(judged[3], saved[2].best[0])
    np.testing.assert_array_equal(judged[3], weights(tmp_path / "model")[0])


STILL = {"rotation": 0, "horizontal_flip": False, "zoom": 0}


def test_features_of_a_frozen_backbone_are_computed_once_and_teach_the_same(
    data: Data, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from lesionflow.training import batches, features

    seen: list[tuple[int, ...]] = []
    gather = batches.EpochBatches.__getitem__

    def watched(self: Any, index: int) -> Any:
        batch = gather(self, index)
        seen.append(batch[0].shape[1:])
        return batch

    monkeypatch.setattr(batches.EpochBatches, "__getitem__", watched)
    changes = {"augmentation": STILL, "decode_scale": 1.5, "dropout": 0, "head": {**RECIPE["head"], "epochs": 4}}
    options: dict[str, Any] = {"weights": str(tiny_weights), "changes": changes}
    once = data.finetune(tmp_path / "once", **options)
    of_pixels = [shape for shape in seen if len(shape) == 3]
    assert len(of_pixels) == 3  # 84 + 28 images in batches of 64
    assert of_pixels[-1] not in seen[-4:]
    monkeypatch.setattr(features, "features_stay", lambda *_: False)
    each = data.finetune(tmp_path / "each", **options)
    assert once["epochs"] == each["epochs"] == 4
    for ours, theirs in zip(weights(tmp_path / "once"), weights(tmp_path / "each"), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_augmentation_leaves_no_features_to_keep():
    from lesionflow.models.classifier import build_core, set_trainable
    from lesionflow.recipe import Recipe
    from lesionflow.training.features import features_stay

    core = build_core("tiny", SIZE, 0, 7)
    still = Recipe.model_validate({**RECIPE, "augmentation": STILL})
    set_trainable(core, "tiny", 0, pretrained=True)
    assert features_stay(core, still)
    assert not features_stay(core, Recipe.model_validate(RECIPE))
    assert not features_stay(core, still.model_copy(update={"mix": "mixup"}))
    set_trainable(core, "tiny", 0.5, pretrained=True)
    assert not features_stay(core, still)
    set_trainable(core, "tiny", 0, pretrained=False)  # then all of it trains
    assert not features_stay(core, still)


MIRRORS = (1, 2, (1, 2))


def test_eight_views_of_a_larger_frame_are_in_the_model_and_the_next_step_starts_from_it(
    data: Data, head: Path, tmp_path: Path
):
    changes = {"test_time_augmentation": 8, "decode_scale": 1.5, "augmentation": {"crop": 0.4}}
    data.finetune(tmp_path / "model", "full", start=str(head), changes=changes)
    loaded = load_model(tmp_path / "model")
    assert loaded.decode_size == 48
    pixels = load_pixels(data.images, [f"{index:03}" for index in range(5)], 48).astype(np.float32)
    import keras

    corners = [pixels[:, :38, :38], pixels[:, :38, 10:], pixels[:, 10:, :38], pixels[:, 10:, 10:]]
    whole, *windows = (keras.ops.image.resize(part, (SIZE, SIZE)) for part in (pixels, *corners))
    seen = [whole, *(keras.ops.flip(whole, axes) for axes in MIRRORS)]
    seen += [windows[0], *(keras.ops.flip(part, axes) for part, axes in zip(windows[1:], MIRRORS, strict=True))]
    core = loaded.model.get_layer(CORE)
    each = [np.asarray(core(view, training=False)) for view in seen]
    np.testing.assert_allclose(loaded.predict(pixels.astype(np.uint8)), np.mean(each, axis=0), atol=1e-6)
    data.finetune(tmp_path / "next", "full", start=str(tmp_path / "model"), changes=changes)


def test_four_views_are_in_the_model_and_the_next_step_starts_from_it(data: Data, head: Path, tmp_path: Path):
    changes = {"test_time_augmentation": 4}
    data.finetune(tmp_path / "model", "full", start=str(head), changes=changes)
    loaded = load_model(tmp_path / "model")
    pixels = load_pixels(data.images, [f"{index:03}" for index in range(5)], SIZE)
    core = loaded.model.get_layer(CORE)
    mirrored = [pixels, pixels[:, ::-1], pixels[:, :, ::-1], pixels[:, ::-1, ::-1]]
    each = [np.asarray(core(view.astype(np.float32), training=False)) for view in mirrored]
    np.testing.assert_allclose(loaded.predict(pixels), np.mean(each, axis=0), atol=1e-6)
    assert not np.allclose(loaded.predict(pixels), each[0], atol=1e-4)
    data.finetune(tmp_path / "with", "full", start=str(tmp_path / "model"), changes=changes)
    data.finetune(tmp_path / "without", "full", start=str(tmp_path / "model"))
    assert all(map(np.array_equal, weights(tmp_path / "with"), weights(tmp_path / "without")))
