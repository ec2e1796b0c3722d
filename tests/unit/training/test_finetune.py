"""A fine-tune step, from artifacts to artifact."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_data import RECIPE, SIZE, Data

from lesionflow.artifacts.table import write_table
from lesionflow.artifacts.training_record import Rows, TrainingRecord
from lesionflow.data.pixel_store import VARIABLE
from lesionflow.data.pixels import load_pixels
from lesionflow.errors import UserError
from lesionflow.models.classifier import CORE, backbone_of
from lesionflow.models.loaded_model import load_model
from lesionflow.runtime.progress import FOLDER_VARIABLE
from lesionflow.taxonomy import HAM10000
from lesionflow.training import checkpoint as checkpoints

pytestmark = pytest.mark.slow  # trains


def weights(model: Path) -> dict[str, np.ndarray]:
    core = load_model(model).model.get_layer(CORE)
    return {weight.path: np.asarray(weight) for weight in core.weights}


def same(a: Path, b: Path) -> bool:
    left, right = weights(a), weights(b)
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


def test_three_steps_learn_and_leave_a_whole_model_folder(data: Data, partial: Path, tmp_path: Path):
    metrics = data.finetune(tmp_path / "full", "full", start=str(partial), fingerprint="abc")
    assert metrics["val_macro_f1"] > 0.9
    assert metrics["parameters_total"] == sum(array.size for array in weights(tmp_path / "full").values())
    assert sorted(path.name for path in (tmp_path / "full").iterdir()) == [
        *("history.csv", "labels.json", "model.keras", "tensorboard", "training.json")
    ]
    assert list((tmp_path / "full" / "tensorboard").glob("events.out.tfevents.*"))
    assert json.loads((tmp_path / "full" / "labels.json").read_text()) == {
        "labels": list(HAM10000.codes),
        "decode_size": SIZE,
        "taxonomy": HAM10000.model_dump(mode="json"),
    }
    history = pd.read_csv(tmp_path / "full" / "history.csv")
    assert history[["phase", "epoch"]].to_numpy().tolist() == [
        *(["head", 1], ["partial", 1], ["partial", 2], ["partial", 3], ["full", 1])
    ]
    assert history.notna().all(axis=None)
    training = TrainingRecord.load(tmp_path / "full" / "training.json")
    assert training.pretrained is False
    assert (training.fingerprint, training.seed, training.rows) == ("abc", 3, Rows(train=84, validation=28))


def test_a_step_that_ends_worse_than_it_began_keeps_its_start_and_says_so(
    data: Data, partial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    metrics: dict[float, dict[str, object]] = {}

    def shown(rate: float) -> str:
        folder = tmp_path / f"said-{rate}"
        folder.mkdir()
        monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
        changes = {"full": {**RECIPE["full"], "learning_rate": rate}}
        metrics[rate] = data.finetune(tmp_path / f"model-{rate}", "full", start=str(partial), changes=changes)
        events = [json.loads(line) for file in folder.iterdir() for line in file.read_text().splitlines()]
        return next(event["text"] for event in events if event["event"] == "headline")

    before = pd.read_csv(partial / "history.csv")["val_macro_f1"].max()
    said = shown(0.5)
    after = pd.read_csv(tmp_path / "model-0.5" / "history.csv")["val_macro_f1"].iloc[-1]
    assert after < before
    assert said == f"val macro-F1 {before:.3f} of its start, which is kept: trained, {after:.3f} at best"
    assert (metrics[0.5]["best_epoch"], metrics[0.5]["val_macro_f1"]) == (0, before)
    assert TrainingRecord.load(tmp_path / "model-0.5" / "training.json").best_epoch == 0
    assert same(partial, tmp_path / "model-0.5")


def test_the_start_is_no_candidate_twice_nor_lost_when_a_step_goes_on(
    data: Data, partial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Stopped after its first epoch, the step still knows what its start was worth."""
    changes = {"full": {**RECIPE["full"], "epochs": 2, "learning_rate": 0.5}}
    options = {"start": str(partial), "changes": changes, "checkpoint_folder": str(tmp_path / "c")}
    real_save = checkpoints.save

    def save(folder: Path, state: checkpoints.Checkpoint) -> None:
        real_save(folder, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "save", save)
    with pytest.raises(KeyboardInterrupt):
        data.finetune(tmp_path / "model", "full", **options)
    monkeypatch.setattr(checkpoints, "save", real_save)
    metrics = data.finetune(tmp_path / "model", "full", **options)

    assert (metrics["resumed_at_epoch"], metrics["best_epoch"], metrics["epochs"]) == (1, 0, 2)
    assert same(partial, tmp_path / "model")
    history = pd.read_csv(tmp_path / "model" / "history.csv")
    assert history[["phase", "epoch"]].to_numpy().tolist()[-2:] == [["full", 1], ["full", 2]]


def test_pretrained_backbone_stays_as_it_is_while_the_head_trains(
    data: Data, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from lesionflow.models.classifier import build_core
    from lesionflow.models.weights import load_backbone_weights

    scores = iter([0.1, 0.2, 0.3])  # of the head's epoch, of the full step's start and of its epoch, which is kept
    monkeypatch.setattr("lesionflow.training.epochs.validate", lambda *_: (1.0, next(scores)))
    start = build_core("tiny", SIZE, 0.2, 7)
    load_backbone_weights(start, tiny_weights)
    before = backbone_of(start).get_weights()
    data.finetune(tmp_path / "head", weights=str(tiny_weights))
    after_head = backbone_of(load_model(tmp_path / "head").model.get_layer(CORE))
    for old, new in zip(before, after_head.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)

    data.finetune(tmp_path / "full", "full", start=str(tmp_path / "head"))
    after_full = backbone_of(load_model(tmp_path / "full").model.get_layer(CORE))
    for old, new in zip(after_head.weights, after_full.weights, strict=True):
        kept = np.array_equal(np.asarray(old), np.asarray(new))
        assert kept == ("_bn" in new.path), new.path
    assert TrainingRecord.load(tmp_path / "full" / "training.json").pretrained is True
    assert len(TrainingRecord.load(tmp_path / "full" / "training.json").weights_sha256) == 64


def test_the_best_epoch_by_validation_macro_f1_is_kept(
    data: Data, head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    scores = iter([0.1, 0.2, 0.9, 0.1])  # of the start and three epochs
    monkeypatch.setattr("lesionflow.training.epochs.validate", lambda *_: (1.0, next(scores)))
    epochs: list[checkpoints.Checkpoint] = []
    monkeypatch.setattr(checkpoints, "save", lambda _, state: epochs.append(state))
    metrics = data.finetune(
        tmp_path / "model", "partial", start=str(head), checkpoint_folder=str(tmp_path / "checkpoints")
    )
    assert (metrics["best_epoch"], metrics["val_macro_f1"]) == (2, 0.9)
    for expected, found in zip(epochs[1].weights, weights(tmp_path / "model").values(), strict=True):
        np.testing.assert_array_equal(expected, found)
    assert not np.array_equal(epochs[1].weights[0], epochs[2].weights[0])


def test_a_training_killed_in_every_epoch_in_turn_ends_with_the_same_bits(
    data: Data, head: Path, partial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def train(name: str) -> dict[str, object]:
        folder = str(tmp_path / "checkpoints")
        return data.finetune(tmp_path / name, "partial", start=str(head), checkpoint_folder=folder)

    real_save = checkpoints.save
    for dies_in in (1, 2, 3):

        def save(folder: Path, state: checkpoints.Checkpoint, dies_in: int = dies_in) -> None:
            if len(state.history) == dies_in:
                raise KeyboardInterrupt
            real_save(folder, state)

        monkeypatch.setattr(checkpoints, "save", save)
        with pytest.raises(KeyboardInterrupt):
            train("broken")
        assert not (tmp_path / "broken").exists()
    monkeypatch.setattr(checkpoints, "save", real_save)
    assert train("broken")["resumed_at_epoch"] == 2
    assert same(partial, tmp_path / "broken")
    columns = ["epoch", "loss", "accuracy", "val_loss", "val_macro_f1", "learning_rate"]
    pd.testing.assert_frame_equal(
        pd.read_csv(partial / "history.csv")[columns],
        pd.read_csv(tmp_path / "broken" / "history.csv")[columns],
    )
    # Killed after the model was written but before anyone noted it: nothing is trained again.
    assert train("again")["resumed_at_epoch"] == 3
    assert same(partial, tmp_path / "again")


def test_a_damaged_checkpoint_is_said_and_training_starts_over(
    data: Data, head: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    shutil.copytree(head.parent / "checkpoints", tmp_path / "checkpoints")
    (state,) = (tmp_path / "checkpoints").glob("head-*/state")
    state.write_bytes(state.read_bytes()[:-100])
    metrics = data.finetune(tmp_path / "second", checkpoint_folder=str(tmp_path / "checkpoints"))
    assert metrics["resumed_at_epoch"] == 0
    assert "checkpoint is damaged" in capfd.readouterr().err
    assert same(head, tmp_path / "second")


def test_images_in_a_file_train_to_the_same_bits(
    data: Data, head: Path, partial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(VARIABLE, "100000")
    data.finetune(tmp_path / "model", "partial", start=str(head), checkpoint_folder=str(tmp_path / "checkpoints"))
    assert same(tmp_path / "model", partial)
    # A retry on a larger node goes on from the checkpoint.
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr("lesionflow.data.pixel_store.MappedPixels", lambda *_: pytest.fail("in a file again"))
    again = data.finetune(
        tmp_path / "again", "partial", start=str(head), checkpoint_folder=str(tmp_path / "checkpoints")
    )
    assert again["resumed_at_epoch"] == 3


def test_other_inputs_do_not_go_on_from_a_checkpoint(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = str(tmp_path / "checkpoints")
    monkeypatch.setattr("lesionflow.training.epochs.train", lambda *_: pytest.skip("reached training"))
    places: set[str] = set()
    table = pd.read_parquet(data.train)
    table.loc[0, "dx"] = "nv"
    write_table(table, tmp_path / "relabelled.parquet")
    relabelled = Data(data.images, tmp_path / "relabelled.parquet", data.validation)
    trials = [
        lambda model: data.finetune(model, checkpoint_folder=folder),
        lambda model: data.finetune(model, checkpoint_folder=folder, seed=4),
        lambda model: data.finetune(model, checkpoint_folder=folder, changes={"batch_size": 8}),
        lambda model: relabelled.finetune(model, checkpoint_folder=folder),
    ]
    for trial in trials:
        with pytest.raises(pytest.skip.Exception):
            trial(tmp_path / "model")
        places |= {path.name for path in Path(folder).iterdir()}
    # The name of a recipe and the other steps' settings change nothing for this step.
    with pytest.raises(pytest.skip.Exception):
        data.finetune(
            tmp_path / "model",
            checkpoint_folder=folder,
            changes={"name": "other", "full": {**RECIPE["full"], "epochs": 9}},
        )
    monkeypatch.setattr("lesionflow.components.finetune.finetune.step_digest", lambda _: "edited code")
    with pytest.raises(pytest.skip.Exception):
        data.finetune(tmp_path / "model", checkpoint_folder=folder)
    assert len(places) == len(trials)
    assert len(list(Path(folder).iterdir())) == len(trials) + 1


def test_the_model_takes_any_type_and_size_and_agrees_with_training_time(data: Data, head: Path):
    loaded = load_model(head)
    pixels = load_pixels(data.images, [f"{index:03}" for index in range(9)], SIZE)
    core = loaded.model.get_layer(CORE)
    expected = np.asarray(core(pixels.astype(np.float32), training=False))
    assert loaded.decode_size == SIZE
    np.testing.assert_allclose(loaded.predict(pixels), expected, atol=1e-6)
    np.testing.assert_allclose(loaded.predict(pixels.astype(np.float64)), expected, atol=1e-6)  # pyright: ignore[reportArgumentType]
    coarse = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8))
    large = coarse.resize((150, 100), Image.Resampling.BICUBIC)
    small = large.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(
        loaded.predict(np.asarray(large)[None]), loaded.predict(np.asarray(small)[None]), atol=0.005
    )
    assert loaded.predict(pixels[:0]).shape == (0, 7)


def test_weights_reach_the_loss_and_draws_the_order(data: Data):
    from lesionflow.training.batches import EpochBatches
    from lesionflow.training.sampling import Examples

    pixels = np.arange(5 * 4 * 4 * 3, dtype=np.uint8).reshape(5, 4, 4, 3)
    weight = np.array([1, 2, 0.5, 1, 0.5], np.float32)
    examples = Examples(pixels, np.arange(5, dtype=np.int32), weight, np.ones(5))
    batches = EpochBatches(examples, np.array([4, 0, 0, 2, 1]), 2)
    assert len(batches) == 3
    images, labels, weights = batches[0]
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, pixels[[4, 0]])
    assert (labels.tolist(), weights.tolist()) == ([4, 0], [0.5, 1.0])
    assert len(batches[2][0]) == 1
    plain = Examples(pixels, examples.labels, np.ones(5, np.float32), examples.sampling_weights)
    assert len(EpochBatches(plain, np.arange(5), 2)[0]) == 2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"phase": "tail"}, "no fine-tune step 'tail'"),
        ({"phase": "full"}, "starts from the model of the step before"),
        ({"start": "somewhere"}, "starts from --weights"),
        ({"seed": -1}, "seed is -1"),
        ({"weights": "/absent.weights.h5"}, "no starting weights at /absent"),
        ({"weights": "imagenet"}, "'tiny' has no ImageNet weights"),
        ({"phase": "full", "start": "/absent"}, "no training.json in /absent"),
        ({"recipe": "absent"}, "no recipe 'absent'"),
    ],
)
def test_bad_input_gets_one_sentence_and_leaves_nothing(
    data: Data, tmp_path: Path, options: dict[str, object], sentence: str
):
    with pytest.raises(UserError, match=sentence):
        data.finetune(tmp_path / "model", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("dx", "wart", "label 'wart'"),
        ("sampling_weight", -1.0, "column sampling_weight"),
        ("weight", float("nan"), "column weight"),
        ("image_id", "absent", "1 of 112 images are not in"),
    ],
)
def test_a_bad_table_gets_one_sentence(data: Data, tmp_path: Path, column: str, value: object, sentence: str):
    table = pd.read_parquet(data.train)
    table.loc[0, column] = value
    write_table(table, tmp_path / "bad.parquet")
    with pytest.raises(UserError, match=sentence):
        Data(data.images, tmp_path / "bad.parquet", data.validation).finetune(tmp_path / "model")


def test_a_start_of_another_network_is_refused(data: Data, head: Path, tmp_path: Path):
    import keras

    other = Path(shutil.copytree(head, tmp_path / "other"))
    keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 3)]).save(other / "model.keras")
    with pytest.raises(UserError, match="does not fit this step"):
        data.finetune(tmp_path / "model", "full", start=str(other))


def test_a_training_that_diverges_says_so(data: Data, tmp_path: Path):
    changes = {"head": {"epochs": 1, "learning_rate": 1e30, "trainable": 0}}
    with pytest.raises(UserError, match="diverged"):
        data.finetune(tmp_path / "model", changes=changes)
