"""Only model folders that lesionflow wrote are opened."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lesionflow.artifacts.model_folder import write_labels
from lesionflow.errors import UserError
from lesionflow.models.classifier import build_core
from lesionflow.models.deployable import deployable
from lesionflow.models.loaded_model import load_model
from lesionflow.taxonomy import HAM10000

SAID = HAM10000.model_dump(mode="json")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ours")
    deployable(build_core("tiny", 32, 0.1, 7), 32).save(folder / "model.keras")
    write_labels(folder, 32, taxonomy=HAM10000)
    return folder


@pytest.fixture
def copy(ours: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ours, tmp_path / "model"))


def test_our_own_model_opens(ours: Path):
    loaded = load_model(ours)
    assert (len(loaded.labels), loaded.decode_size) == (7, 32)


def test_a_model_that_is_called_as_a_function_predicts_as_well(tmp_path: Path):
    deployable(build_core("tiny", 32, 0.5, 7), 48, test_time_augmentation=8).save(tmp_path / "model.keras")
    write_labels(tmp_path, 48, taxonomy=HAM10000)
    loaded = load_model(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (9, 50, 60, 3), np.uint8)
    np.testing.assert_allclose(loaded.model(pixels), loaded.predict(pixels), atol=1e-6)


@pytest.mark.parametrize("count", [1, 4, 5, 8, 11])
def test_what_it_says_of_an_image_does_not_depend_on_those_beside_it(ours: Path, count: int):
    loaded = load_model(ours)
    pixels = np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), np.uint8)
    together = loaded.predict(pixels, batch_size=4)
    assert (together.shape, together.dtype) == ((count, 7), np.float32)
    np.testing.assert_allclose(together, np.concatenate([loaded.predict(one[None]) for one in pixels]), atol=1e-6)


def test_a_missing_folder_or_file_is_said(copy: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"no labels\.json"):
        load_model(tmp_path / "absent")
    (copy / "model.keras").unlink()
    with pytest.raises(UserError, match=r"no model\.keras"):
        load_model(copy)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b"\xff\xfe", "not valid JSON"),
        (json.dumps({"labels": ["cat", "dog"], "decode_size": 32, "taxonomy": SAID}).encode(), "has the labels"),
        (json.dumps({"decode_size": 32, "taxonomy": SAID}).encode(), "has the labels None"),
        (
            json.dumps({"taxonomy": {**SAID, "classes": SAID["classes"][:1]}}).encode(),
            "labels.json is not valid: classes",
        ),
        (b"{}", "taxonomy in .*labels.json is not valid"),
    ],
)
def test_other_labels_are_refused(copy: Path, content: bytes, sentence: str):
    (copy / "labels.json").write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        load_model(copy)


def test_a_size_that_is_none_is_refused(copy: Path):
    labels = json.loads((copy / "labels.json").read_text())
    (copy / "labels.json").write_text(json.dumps({**labels, "decode_size": "big"}))
    with pytest.raises(UserError, match="decode_size 'big'"):
        load_model(copy)


def test_a_file_that_is_no_keras_model_is_refused(copy: Path):
    whole = (copy / "model.keras").read_bytes()
    for content, sentence in (
        (b"\x80\x04pickle", "not a Keras model"),
        (whole[: len(whole) // 2], "not a Keras model"),
    ):
        (copy / "model.keras").write_bytes(content)
        with pytest.raises(UserError, match=sentence):
            load_model(copy)
    shutil.make_archive(str(copy / "other"), "zip", copy, "labels.json")
    (copy / "other.zip").rename(copy / "model.keras")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_model(copy)


def test_a_keras_model_that_is_not_ours_is_refused(copy: Path):
    import keras

    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(copy / "model.keras")
    with pytest.raises(UserError, match=r"outputs of shape \(None, 2\)"):
        load_model(copy)


def test_code_inside_a_model_is_not_run(copy: Path):
    import keras

    keras.Sequential([keras.Input((7,)), keras.layers.Lambda(lambda x: x)]).save(copy / "model.keras")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_model(copy)
