"""`predict` on every kind of model address and image, and on what is neither."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from judged import jpeg, make_model_folder, write_evaluation

from components.common import storage
from components.common.errors import UserError
from components.common.files import file_digest
from components.common.taxonomy import LABELS
from components.promote.promote import promote
from pipelines import predict as module
from pipelines.predict import predict


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A model folder with a real Keras model, which looks at the mean colour only."""
    import keras

    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.layers.Input((None, None, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(len(LABELS), activation="softmax"),
        ]
    )
    folder = make_model_folder(tmp_path_factory.mktemp("model") / "model")
    network.save(folder / "model.keras")
    return folder


@pytest.fixture
def photos(tmp_path) -> Path:
    """Five images at two depths, a file that is none, and what a Mac leaves behind."""
    random = np.random.default_rng(0)
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name in ("b.jpg", "a.JPG", "c.jpeg", "more/d.jpg", "more/e.jpg"):
        (folder / name).write_bytes(jpeg(random, (60, 45)))
    (folder / "notes.txt").write_text("not an image")
    (folder / "._b.jpg").write_bytes(b"resource fork")
    return folder


def _publish(model: Path, registry: str) -> str:
    scratch = model.parent
    write_evaluation(scratch / "evaluation", 9, 1, model_sha256=file_digest(model / "model.keras"))
    (scratch / "report").write_text("<p>report</p>")
    return promote(model, scratch / "evaluation", scratch / "report", registry)


def test_the_table_has_an_id_a_probability_per_class_and_the_prediction(model, photos, tmp_path):
    table = predict(str(model), [str(photos)], tmp_path / "out" / "predictions.csv")

    written = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert list(written.columns) == ["image_id", *LABELS, "predicted"]
    assert written["image_id"].tolist() == ["a", "b", "c", "d", "e"]
    assert written[list(LABELS)].sum(axis=1).tolist() == pytest.approx([1] * 5, abs=1e-5)
    assert written["predicted"].tolist() == written[list(LABELS)].idxmax(axis=1).tolist()
    pd.testing.assert_frame_equal(table, written, check_dtype=False)


def test_registry_version_and_model_folder_give_the_same_answers_locally_and_from_a_bucket(
    model, photos, tmp_path, bucket
):
    expected = predict(str(model), [str(photos)], tmp_path / "expected.csv")
    addresses = []
    for registry in (str(tmp_path / "registry"), f"{bucket}/registry"):
        addresses += [registry, _publish(model, registry)]
    storage.upload_folder(model, f"{bucket}/runs/7/model")
    storage.upload_folder(photos, f"{bucket}/photos")

    for address in (*addresses, f"{bucket}/runs/7/model"):
        pd.testing.assert_frame_equal(predict(address, [str(photos)], tmp_path / "out.csv"), expected)
    pd.testing.assert_frame_equal(predict(str(model), [f"{bucket}/photos"], tmp_path / "out.csv"), expected)


def test_the_answers_do_not_depend_on_how_images_are_batched(model, photos, tmp_path, monkeypatch):
    expected = predict(str(model), [str(photos)], tmp_path / "expected.csv")
    monkeypatch.setattr(module, "_BATCH", 2)

    pd.testing.assert_frame_equal(predict(str(model), [str(photos)], tmp_path / "out.csv"), expected)


def test_an_image_named_twice_is_classified_once_and_order_is_kept(model, photos, tmp_path):
    table = predict(str(model), [str(photos / "c.jpeg"), str(photos), str(photos / "b.jpg")], tmp_path / "out.csv")

    assert table["image_id"].tolist() == ["c", "a", "b", "d", "e"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("bad.jpg", b"no image"), ("bad.png", b"\x89PNG\r\n\x1a\n" + bytes(20)), ("bad.jpg", b""), ("bad.jpg", None)],
)
def test_a_bad_image_is_named_and_nothing_is_written(model, photos, tmp_path, name, content):
    whole = (photos / "b.jpg").read_bytes()
    (photos / name).write_bytes(whole[: len(whole) // 2] if content is None else content)

    with pytest.raises(UserError, match=f"{name} is not a readable image"):
        predict(str(model), [str(photos)], tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_two_images_of_one_name_are_refused(model, photos, tmp_path):
    (photos / "more" / "a.png").write_bytes((photos / "a.JPG").read_bytes())

    with pytest.raises(UserError, match="same name"):
        predict(str(model), [str(photos)], tmp_path / "out.csv")


@pytest.mark.parametrize("what", ["nowhere.jpg", "empty"])
def test_without_images_there_is_a_clear_error(model, tmp_path, what):
    (tmp_path / "empty").mkdir()

    with pytest.raises(UserError, match=what):
        predict(str(model), [str(tmp_path / what)], tmp_path / "out.csv")


@pytest.mark.parametrize("address", ["nowhere", "photos", "photos/b.jpg", "other", "empty-registry"])
def test_what_is_not_our_model_is_refused(photos, tmp_path, address):
    other = make_model_folder(tmp_path / "other")  # its model.keras holds no model
    (tmp_path / "empty-registry" / "versions").mkdir(parents=True)

    with pytest.raises(UserError):
        predict(str(tmp_path / address), [str(photos)], tmp_path / "out.csv")
    assert other.exists()
    assert not (tmp_path / "out.csv").exists()


def test_what_is_not_our_model_in_a_bucket_is_refused(photos, tmp_path, bucket):
    storage.write_bytes(f"{bucket}/things/readme.txt", b"hello")

    with pytest.raises(UserError, match=f"There is no model at {bucket}/things"):
        predict(f"{bucket}/things", [str(photos)], tmp_path / "out.csv")
    with pytest.raises(UserError, match="no-such-bucket"):
        predict(f"{bucket.replace('bucket', 'no-such-bucket')}/model", [str(photos)], tmp_path / "out.csv")


def test_a_model_that_answers_nan_is_refused(model, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "components.common.model_folder.LoadedModel.predict",
        lambda self, pixels, batch_size=64: np.full((len(pixels), 7), np.nan),
    )

    with pytest.raises(UserError, match="not numbers"):
        predict(str(model), [str(photos)], tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
