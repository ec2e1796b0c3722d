"""`predict` on every kind of model address and image, and on what is neither."""

import json
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from judged import jpeg, make_colour_model, make_evaluation, make_model_folder, write_evaluation, write_split
from typer.testing import CliRunner

from lesionflow import storage
from lesionflow.artifacts.version_card import VersionCard
from lesionflow.cli.main import app
from lesionflow.components.promote.promote import promote
from lesionflow.errors import UserError
from lesionflow.prediction import predict as module
from lesionflow.prediction.predict import predict
from lesionflow.runtime.files import file_digest
from lesionflow.taxonomy import HAM10000


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return make_colour_model(tmp_path_factory.mktemp("model") / "model")


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
    tables, digests = write_split(scratch)
    digest = file_digest(model / "model.keras")
    write_evaluation(scratch / "evaluation", 9, 1, model_sha256=digest, data={"tables": digests})
    (scratch / "report").write_text("<p>report</p>")
    return promote(model, scratch / "evaluation", scratch / "report", **tables, registry=registry)


def classify(model: Path | str, images: list[Path | str], output: Path, **watching: Any) -> pd.DataFrame:
    """Run the command's logic and read what it wrote; an empty cell is an empty text."""
    predict(str(model), [str(image) for image in images], output, **watching)
    return pd.read_csv(output, dtype={"image_id": str}, keep_default_na=False)


def test_the_table_has_an_id_a_probability_per_class_and_the_prediction(model, photos, tmp_path):
    table = classify(model, [photos], tmp_path / "out" / "predictions.csv")

    assert list(table.columns) == ["image_id", *HAM10000.codes, "predicted", "abstain", "error"]
    assert table["image_id"].tolist() == ["a", "b", "c", "d", "e"]
    assert table[list(HAM10000.codes)].sum(axis=1).tolist() == pytest.approx([1] * 5, abs=1e-5)
    assert table["predicted"].tolist() == table[list(HAM10000.codes)].idxmax(axis=1).tolist()
    assert (table[["abstain", "error"]] == "").all(axis=None)  # the model says nothing about abstention


def test_registry_version_and_model_folder_give_the_same_answers_locally_and_from_a_bucket(
    model, photos, tmp_path, bucket
):
    expected = classify(model, [photos], tmp_path / "expected.csv")
    addresses = []
    for registry in (str(tmp_path / "registry"), f"{bucket}/registry"):
        addresses += [registry, _publish(model, registry)]
    storage.upload_folder(model, f"{bucket}/runs/7/model")
    storage.upload_folder(photos, f"{bucket}/photos")
    storage.write_bytes(f"{bucket}/zips/photos.zip", _zip(photos, tmp_path / "photos.zip").read_bytes())

    for address in (*addresses, f"{bucket}/runs/7/model"):
        (tmp_path / "out.csv").unlink(missing_ok=True)
        pd.testing.assert_frame_equal(classify(address, [photos], tmp_path / "out.csv"), expected)
    for images in (f"{bucket}/photos", f"{bucket}/zips", f"{bucket}/zips/photos.zip"):
        pd.testing.assert_frame_equal(classify(model, [images], tmp_path / "out.csv"), expected)
    one = classify(model, [f"{bucket}/photos/more/d.jpg"], tmp_path / "one.csv")
    pd.testing.assert_frame_equal(one, expected[expected["image_id"] == "d"].reset_index(drop=True))


@pytest.mark.slow
def test_a_zip_named_or_in_a_folder_counts_as_a_folder(model, photos, tmp_path):
    expected = classify(model, [photos], tmp_path / "expected.csv")
    (tmp_path / "zips").mkdir()
    archive = _zip(photos, tmp_path / "zips" / "photos.zip")
    for images in (archive, archive.parent):
        pd.testing.assert_frame_equal(classify(model, [images], tmp_path / "out.csv"), expected)
    archive.write_bytes(archive.read_bytes()[:200])
    with pytest.raises(UserError, match=r"photos\.zip is truncated or damaged"):
        classify(model, [archive], tmp_path / "other.csv")


def test_an_image_named_twice_is_classified_once_and_order_is_kept(model, photos, tmp_path):
    table = classify(model, [photos / "c.jpeg", photos, photos / "b.jpg"], tmp_path / "out.csv")

    assert table["image_id"].tolist() == ["c", "a", "b", "d", "e"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("bad.jpg", b"no image"), ("bad.png", b"\x89PNG\r\n\x1a\n" + bytes(20)), ("bad.jpg", b""), ("bad.jpg", None)],
)
def test_a_damaged_image_gets_a_row_with_the_reason_and_the_others_are_classified(
    model, photos, tmp_path, name, content
):
    expected = classify(model, [photos], tmp_path / "expected.csv")
    whole = (photos / "b.jpg").read_bytes()
    (photos / name).write_bytes(whole[: len(whole) // 2] if content is None else content)

    predicted = predict(str(model), [str(photos)], tmp_path / "out.csv")
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)

    assert (predicted.images, predicted.failed) == (6, 1)
    bad = table[table["image_id"] == "bad"].iloc[0]
    assert bad["error"]
    assert "\n" not in bad["error"]
    assert (bad.drop(["image_id", "error"]) == "").all()
    others = table[table["image_id"] != "bad"]
    assert others["predicted"].tolist() == expected["predicted"].tolist()
    np.testing.assert_allclose(others[list(HAM10000.codes)].astype(float), expected[list(HAM10000.codes)], atol=2e-6)


def test_a_member_of_a_zip_with_a_wrong_checksum_gets_a_row(model, photos, tmp_path):
    archive = _zip(photos, tmp_path / "photos.zip")
    data = bytearray(archive.read_bytes())
    data[data.index((photos / "b.jpg").read_bytes()[-60:-20])] ^= 1  # stored, so the bytes are there as they are
    archive.write_bytes(data)

    table = classify(model, [archive], tmp_path / "out.csv")
    assert table.loc[table["error"] != "", "image_id"].tolist() == ["b"]


def test_images_that_are_all_damaged_are_an_error_with_a_table(model, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"None of the 1 images can be read; .*out\.csv has the reason"):
        predict(str(model), [str(tmp_path / "bad.jpg")], tmp_path / "out.csv")
    assert "not an image: its content is not that of any image" in (tmp_path / "out.csv").read_text()


def test_calibration_and_abstention_are_those_of_the_model_folder(model, photos, tmp_path):
    plain = classify(model, [photos], tmp_path / "plain.csv")[list(HAM10000.codes)].to_numpy()
    folder = Path(shutil.copytree(model, tmp_path / "bundle"))
    sure = plain.max(axis=1)
    calibrated = plain**0.5 / (plain**0.5).sum(axis=1, keepdims=True)
    threshold = float(np.median(calibrated.max(axis=1)))
    (folder / "calibration.json").write_text(json.dumps({"temperature": 2, "abstain_below": threshold}))

    table = classify(folder, [photos], tmp_path / "out.csv")
    np.testing.assert_allclose(table[list(HAM10000.codes)], calibrated, atol=5e-6)
    assert table[list(HAM10000.codes)].max(axis=1).max() < sure.max()
    # pandas reads a column of true and false as booleans; the median itself may fall on either side.
    order = np.argsort(calibrated.max(axis=1))
    assert table["abstain"].to_numpy()[order[:2]].tolist() == [True, True]
    assert table["abstain"].to_numpy()[order[-2:]].tolist() == [False, False]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"temperature": 0}',
        '{"temperature": null}',
        '{"temperature": 1, "abstain_below": 2}',
        '{"temperature": NaN}',
    ],
)
def test_a_calibration_that_makes_no_sense_is_refused(model, photos, tmp_path, content):
    folder = Path(shutil.copytree(model, tmp_path / "bundle"))
    (folder / "calibration.json").write_text(content)
    with pytest.raises(UserError, match=r"calibration\.json"):
        predict(str(folder), [str(photos)], tmp_path / "out.csv")


@pytest.fixture
def many(tmp_path, monkeypatch) -> Path:
    """23 images, one of them damaged, in batches of 4."""
    monkeypatch.setattr(module, "_BATCH", 4)
    random = np.random.default_rng(1)
    folder = tmp_path / "many"
    folder.mkdir()
    for index in range(23):
        (folder / f"{index:02}, ü.jpg").write_bytes(jpeg(random, (40, 30)))
    (folder / "06, ü.jpg").write_bytes(b"line\nbreak")
    return folder


@pytest.mark.parametrize("left", [0, 1, 17, 70, "seven rows", 0.3, 0.77, 0.999, -1])
def test_a_restarted_command_ends_with_the_same_bytes_wherever_it_was_killed(model, many, tmp_path, left, monkeypatch):
    whole = tmp_path / "whole.csv"
    classify(model, [many], whole)
    output = tmp_path / "out.csv"

    def dies(done: int, total: int) -> None:
        if done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(str(model), [str(many)], output, dies)
    (partial,) = tmp_path.glob("out.csv.*.partial")
    assert not output.exists()
    data = partial.read_bytes()
    if left == "seven rows":  # whole, but not whole batches
        cut = len(b"".join(data.splitlines(keepends=True)[:8]))
    else:
        cut = int(left * len(data)) if isinstance(left, float) else left if left >= 0 else len(data)
    partial.write_bytes(data[:cut])

    steps: list[int] = []
    predicted = predict(str(model), [str(many)], output, lambda done, total: steps.append(done))
    assert output.read_bytes() == whole.read_bytes()
    assert list(tmp_path.glob("*.partial")) == []
    assert predicted.failed == 1
    complete_lines = max(0, data[:cut].count(b"\n") - 1)
    assert steps[0] == predicted.found == complete_lines // 4 * 4


def test_a_killed_process_is_gone_on_with(model, many, tmp_path):
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from lesionflow.prediction import predict as module\n"
        "module._BATCH = 4\n"
        "def watch(done, total):\n"
        "    if done >= 12: os.kill(os.getpid(), signal.SIGKILL)\n"
        "module.predict(sys.argv[1], [sys.argv[2]], Path(sys.argv[3]), watch)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, model, many, tmp_path / "out.csv"], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    predicted = predict(str(model), [str(many)], tmp_path / "out.csv")
    assert predicted.found == 12
    classify(model, [many], tmp_path / "whole.csv")
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_finished_table_is_not_made_again_until_something_changes(model, photos, tmp_path, monkeypatch):
    output = tmp_path / "out.csv"
    predict(str(model), [str(photos)], output)
    before, said = output.stat().st_mtime_ns, []

    with monkeypatch.context() as patch:
        patch.setattr(module, "load_model", lambda folder: pytest.fail("the model was loaded"))
        predicted = predict(str(model), [str(photos)], output, say=said.append)
    assert (predicted.found, output.stat().st_mtime_ns) == (5, before)
    (not_used,) = said
    assert not_used.startswith(f"Not used in {photos}: ")

    (photos / "a.JPG").write_bytes((photos / "b.jpg").read_bytes())
    assert predict(str(model), [str(photos)], output, say=said.append).found == 0
    assert "from other images" in said.pop()
    other = Path(shutil.copytree(model, tmp_path / "other"))
    (other / "calibration.json").write_text('{"temperature": 2}')
    predict(str(other), [str(photos)], output, say=said.append)
    assert "from another calibration" in said.pop()
    output.write_text("my own notes")
    predict(str(other), [str(photos)], output, say=said.append)
    assert "not known what from" in said.pop()
    assert len(pd.read_csv(output)) == 5


def test_what_another_interrupted_command_left_is_said_and_left(model, photos, tmp_path):
    (tmp_path / "out.csv.0123456789ab.partial").write_text("image_id\n")
    said: list[str] = []
    predict(str(model), [str(photos)], tmp_path / "out.csv", say=said.append)
    assert said[0].startswith(f"Not used in {photos}: ")  # the fixture's notes, and what a Mac leaves
    assert "interrupted command" in said[1]
    assert (tmp_path / "out.csv.0123456789ab.partial").exists()


@pytest.mark.parametrize("command", ["predict", "compile", "compare"])
@pytest.mark.parametrize("output", ["folder", "file/below.csv"])
def test_an_output_that_cannot_be_written_is_said_before_any_work(tmp_path, command, output):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    given = {"predict": ["--model", "nowhere", "nothing"], "compile": [], "compare": ["nowhere"]}[command]
    failed = CliRunner().invoke(app, [command, *given, "--output", str(tmp_path / output)])
    assert isinstance(failed.exception, UserError)
    assert re.search("is a folder; give|cannot be written", str(failed.exception))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(model, many, tmp_path):
    program = (
        "import os, signal, sys\n"
        "import lesionflow.prediction.predict as module\n"
        "from lesionflow.cli.main import main\n"
        "module._BATCH, append = 4, module.PredictionTable.append\n"
        "def appended(table, rows):\n"
        "    append(table, rows)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "module.PredictionTable.append = appended\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job inherits it ignored
        "main()\n"
    )
    command = ["predict", "--model", str(model), str(many), "--output", str(tmp_path / "out.csv")]
    ended = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, text=True)
    assert ended.returncode == 130
    assert ended.stderr.strip() == "Interrupted. The same command goes on where this one stopped."
    assert predict(str(model), [str(many)], tmp_path / "out.csv").found == 4


def test_a_model_of_synthetic_data_is_said_to_be_one(model, photos, tmp_path):
    said: list[str] = []
    for synthetic, sentences in ((False, 0), (True, 1)):
        folder = Path(shutil.copytree(model, tmp_path / f"model-{synthetic}"))
        evaluation = make_evaluation(9, 1, data={"synthetic": synthetic})
        VersionCard(version="v", created="2025", evaluation=evaluation, files=()).write(folder / "card.json")
        predict(str(folder), [str(photos)], tmp_path / f"{synthetic}.csv", say=said.append)
        assert len([sentence for sentence in said if "trained on synthetic data" in sentence]) == sentences


def test_two_commands_on_one_output_are_refused(model, photos, tmp_path):
    def again(done: int, total: int) -> None:
        with pytest.raises(UserError, match="Another lesionflow predict is writing"):
            predict(str(model), [str(photos)], tmp_path / "out.csv")

    assert predict(str(model), [str(photos)], tmp_path / "out.csv", again).images == 5


def _zip(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return target


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
        "lesionflow.models.loaded_model.LoadedModel.predict",
        lambda self, pixels, batch_size=64: np.full((len(pixels), 7), np.nan),
    )

    with pytest.raises(UserError, match="not numbers"):
        predict(str(model), [str(photos)], tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
