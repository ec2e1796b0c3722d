"""The bundle: what servers and other runtimes answer is what the Keras model answers, or there is no bundle."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judged import strict_json, write_evaluation
from PIL import Image

from lesionflow.artifacts.model_folder import read_calibration, write_labels
from lesionflow.components.export import export as module
from lesionflow.components.export import served_image
from lesionflow.components.export.export import TOLERANCE, export
from lesionflow.components.export.formats import FORMATS, onnx, saved_model
from lesionflow.components.export.pictures import encoded_pictures
from lesionflow.data.pixels import decode
from lesionflow.errors import UserError
from lesionflow.metrics.calibration import scale
from lesionflow.models.classifier import build_core
from lesionflow.models.deployable import deployable
from lesionflow.models.loaded_model import load_model
from lesionflow.registry.versions import list_contents
from lesionflow.runtime.files import file_digest
from lesionflow.taxonomy import HAM10000

pytestmark = pytest.mark.slow  # writes SavedModels

SIZE = 54
"""Of the frame. Windows of 43 pixels shrink to an input of 36, which float32 makes 35."""
TEMPERATURE = 0.4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained `tiny` that averages views of a larger frame; its large weights prefer one class or another."""
    import keras

    keras.utils.set_random_seed(1)
    core = build_core("tiny", SIZE * 2 // 3, 0.1, 7)
    kernel, bias = core.get_layer("probabilities").get_weights()
    core.get_layer("probabilities").set_weights([kernel * 6, bias])
    folder = tmp_path_factory.mktemp("export") / "model"
    folder.mkdir()
    deployable(core, SIZE, test_time_augmentation=8).save(folder / "model.keras")
    write_labels(folder, SIZE, taxonomy=HAM10000)
    return folder


def write_judgement(path: Path, model: Path, **changes: Any) -> Path:
    """Write an evaluation of the model, with other values in its sections or in place of its fields."""
    document = write_evaluation(path, hits=9, misses=1, model_sha256=file_digest(model / "model.keras"))
    for name, value in changes.items():
        document[name] = {**document[name], **value} if isinstance(value, dict) else value
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(scope="module")
def expected(model: Path) -> np.ndarray:
    """What the Keras model answers to the drawn pictures, calibrated."""
    pixels = np.stack([decode(picture, SIZE) for picture in encoded_pictures(SIZE)])
    return scale(load_model(model).predict(pixels), TEMPERATURE)


@pytest.fixture(scope="module")
def threshold(expected: np.ndarray) -> float:
    """Between two pictures' largest probabilities, so that the model abstains on about half of them."""
    most = np.sort(expected.max(axis=1))
    return float(most[len(most) // 2 - 1 : len(most) // 2 + 1].mean())


@pytest.fixture(scope="module")
def bundle(model: Path, threshold: float) -> Path:
    folder = model.parent / "bundle"
    sections = {"calibration": {"temperature": TEMPERATURE}, "abstention": {"threshold": threshold}}
    export(model, write_judgement(model.parent / "evaluation", model, **sections), folder)
    return folder


def test_a_bundle_is_the_model_folder_and_more(bundle: Path, model: Path, threshold: float):
    names = {entry.name for entry in list_contents(bundle)}
    assert names > {"model.keras", "labels.json", "calibration.json", "model.onnx", "saved_model/1/saved_model.pb"}
    assert file_digest(bundle / "model.keras") == file_digest(model / "model.keras")
    assert load_model(bundle).decode_size == SIZE
    found = read_calibration(bundle)
    assert (found.temperature, found.abstain_below) == (TEMPERATURE, threshold)
    written = strict_json(bundle / "calibration.json")
    assert written["reasons"] == []
    assert set(written["largest_differences"]) == {"SavedModel", "SavedModel with encoded images", "ONNX"}
    assert max(written["largest_differences"].values()) < TOLERANCE


def test_the_served_model_answers_encoded_images_as_lesionflow_does(
    bundle: Path, expected: np.ndarray, threshold: float
):
    asked = {"serving_default": encoded_pictures(SIZE)}
    served = saved_model.ask(bundle / "saved_model", asked)["serving_default"]
    np.testing.assert_allclose(served["probabilities"], expected, atol=TOLERANCE)
    n = len(expected)
    assert [answer.shape for answer in served.values()] == [
        {"probabilities": (n, 7), "labels": (n, 7)}.get(name, (n,)) for name in served
    ]
    labels = [name.encode() for name in HAM10000.codes]
    assert served["labels"].tolist() == [labels] * n
    assert served["predicted"].tolist() == [labels[index] for index in expected.argmax(axis=1)]
    assert served["abstain"].tolist() == (expected.max(axis=1) < threshold).tolist()
    assert 0 < served["abstain"].sum() < n


def test_decoded_pixels_give_the_same_in_every_format_and_any_number(bundle: Path, expected: np.ndarray):
    pixels = np.stack([decode(picture, SIZE) for picture in encoded_pictures(SIZE)]).astype(np.float32)
    for count in (1, len(pixels)):
        served = saved_model.ask(bundle / "saved_model", {"pixels": pixels[:count]})["pixels"]
        np.testing.assert_allclose(served["probabilities"], expected[:count], atol=TOLERANCE)
        np.testing.assert_allclose(onnx.ask(bundle / "model.onnx", pixels[:count]), expected[:count], atol=TOLERANCE)


def test_onnx_asks_for_nothing_but_pixels(bundle: Path):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(bundle / "model.onnx"))
    assert [(entry.name, entry.shape[1:]) for entry in session.get_inputs()] == [("pixels", [SIZE, SIZE, 3])]
    assert [entry.name for entry in session.get_outputs()] == ["probabilities"]


def test_the_served_pixels_are_those_of_training_bit_for_bit():
    import tensorflow as tf

    random = np.random.default_rng(2)
    decoder = tf.function(
        lambda encoded: served_image.decode_served(encoded, 32), input_signature=[tf.TensorSpec((), tf.string)]
    )
    sizes = [(32, 32), (33, 95), (64, 96), (64, 97), (50, 69), (31, 33), (200, 150), (450, 600), (1, 1), (513, 70)]
    sizes += [tuple(int(side) for side in random.integers(1, 300, 2)) for _ in range(20)]
    for width, height in sizes:
        image = Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))
        for kind, options in (("PNG", {}), ("JPEG", {"subsampling": 0}), ("JPEG", {"quality": 50, "subsampling": 2})):
            buffer = io.BytesIO()
            image.save(buffer, kind, **options)
            encoded = buffer.getvalue()
            served = decoder(tf.constant(encoded)).numpy()
            np.testing.assert_array_equal(served, decode(encoded, 32), err_msg=f"{kind} {width}x{height}")


def test_a_damaged_image_fails_the_request_and_not_the_model(bundle: Path):
    import tensorflow as tf

    picture = encoded_pictures(SIZE)[0]
    loaded: Any = tf.saved_model.load(str(bundle / "saved_model" / "1"))
    for damaged in (b"", b"no image", picture[: len(picture) // 2]):
        with pytest.raises(tf.errors.InvalidArgumentError):
            loaded.signatures["serving_default"](tf.constant([picture, damaged]))
    assert len(loaded.signatures["serving_default"](tf.constant([picture]))["predicted"]) == 1


def without_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that TensorFlow is not installed."""
    monkeypatch.setattr(module, "_absent", lambda name: True)


@pytest.mark.parametrize("sections", [{}, {"calibration": {"temperature": None}, "abstention": {"threshold": None}}])
def test_without_a_calibration_the_bundle_says_so(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sections: dict[str, Any]
):
    without_formats(monkeypatch)
    export(model, write_judgement(tmp_path / "evaluation", model, **sections), tmp_path / "bundle")
    written = strict_json(tmp_path / "bundle" / "calibration.json")
    assert (written["temperature"], written["abstain_below"]) == (1.0, None)
    assert [reason.split(",")[0] for reason in written["reasons"]] == [
        "The evaluation gives no temperature",
        "The evaluation suggests no threshold",
        "TensorFlow is not installed here",
    ]


@pytest.mark.parametrize(
    "sections",
    [
        {"calibration": {"temperature": 0}},
        {"calibration": {"temperature": "1"}},
        {"abstention": {"threshold": 1.5}},
        {"model_sha256": "of another"},
    ],
)
def test_an_evaluation_that_does_not_fit_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sections: dict[str, Any]
):
    without_formats(monkeypatch)
    with pytest.raises(UserError, match="evaluation"):
        export(model, write_judgement(tmp_path / "evaluation", model, **sections), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("answer", [0.5, np.nan])
def test_an_export_that_answers_otherwise_is_no_export(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: float
):
    wrong = replace(
        onnx.FORMAT, about="XYZ", write=lambda *_: None, answers=lambda *_: {"XYZ": np.full((24, 7), answer)}
    )
    monkeypatch.setitem(FORMATS, "onnx", wrong)  # the first
    with pytest.raises(UserError, match="exported XYZ gives probabilities that differ"):
        export(model, write_judgement(tmp_path / "evaluation", model), tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation"]


def test_a_bundle_can_be_exported_again(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    without_formats(monkeypatch)
    again = Path(shutil.copytree(bundle, tmp_path / "again"))
    export(again, write_judgement(tmp_path / "evaluation", again), tmp_path / "new")
    assert not (tmp_path / "new" / "saved_model").exists()
    assert read_calibration(tmp_path / "new").temperature == 1
