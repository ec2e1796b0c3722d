"""Bad input ends with exit code 2 and one clear sentence, and leaves nothing half-written."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Site, lesionflow

METADATA = "HAM10000_metadata.csv"
ZIP = "HAM10000_images_part_1.zip"


def _only_an_empty_folder(data: Path) -> None:
    shutil.rmtree(data)
    data.mkdir()


def _no_folder(data: Path) -> None:
    shutil.rmtree(data)


def _no_metadata(data: Path) -> None:
    (data / METADATA).unlink()


def _no_dx_column(data: Path) -> None:
    text = (data / METADATA).read_text()
    (data / METADATA).write_text(text.replace(",dx,", ",diagnosis,", 1))


def _an_eighth_label(data: Path) -> None:
    text = (data / METADATA).read_text()
    (data / METADATA).write_text(text.replace(",nv,", ",wart,"))


def _a_truncated_zip(data: Path) -> None:
    content = (data / ZIP).read_bytes()
    (data / ZIP).write_bytes(content[: len(content) // 2])


def _a_zip_that_climbs_out(data: Path) -> None:
    with zipfile.ZipFile(data / ZIP, "a") as archive:
        archive.writestr("../../evil.jpg", b"x")


def _a_decompression_bomb(data: Path) -> None:
    with zipfile.ZipFile(data / ZIP, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ISIC_9999999.jpg", bytes(200 * 2**20))


def _jpegs_that_are_none(data: Path) -> None:
    with zipfile.ZipFile(data / ZIP) as archive:
        names = archive.namelist()
    with zipfile.ZipFile(data / ZIP, "w") as archive:
        for name in names:
            archive.writestr(name, b"this is not a JPEG")


def _a_class_of_two_lesions(data: Path) -> None:
    lines = (data / METADATA).read_text().splitlines()
    column = lines[0].split(",").index("dx")
    df = [line for line in lines if line.split(",")[column] == "df"]
    # The images of the dropped rows become surplus, which --max-quarantine lets pass.
    (data / METADATA).write_text("\n".join(line for line in lines if line not in df[2:]) + "\n")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_no_folder, ["data"]),
        (_only_an_empty_folder, ["data", "empty"]),
        (_no_metadata, ["metadata"]),
        (_no_dx_column, ["dx", METADATA]),
        (_an_eighth_label, ["wart"]),
        (_a_truncated_zip, [ZIP]),
        (_a_zip_that_climbs_out, [ZIP, "evil.jpg"]),
        (_a_decompression_bomb, [ZIP, "ISIC_9999999"]),
        (_jpegs_that_are_none, ["quarantine"]),
        (_a_class_of_two_lesions, ["df"]),
    ],
)
def test_bad_data(site: Site, tmp_path: Path, spoil: Callable[[Path], None], words: list[str]):
    data = tmp_path / "data"
    shutil.copytree(site.data, data)
    spoil(data)
    tolerant = ["--max-quarantine", "0.5"] if spoil is _a_class_of_two_lesions else []

    result = lesionflow(
        "run", "--data", data, "--recipe", site.recipe, "--weights", "none", "--output", tmp_path / "out", *tolerant,
        cwd=tmp_path,
    )  # fmt: skip

    _assert_one_sentence(result, words)
    assert not list((tmp_path / "out" / "store").glob("*/ingest/images/images-*")) or spoil is _a_class_of_two_lesions
    assert not (tmp_path / "evil.jpg").exists()
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["verdict"] == "failed"
    assert summary["error"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--recipe", "no-such-recipe"], ["no-such-recipe", "quick"]),
        (["--recipe", "bad.yaml"], ["bad.yaml", "batch_size", "-1"]),
        (["--weights", "/no/such.weights.h5"], ["/no/such.weights.h5"]),
        (["--weights", "bad.yaml"], ["bad.yaml", "cannot be read"]),
        (["--weights", "gs://no-such-bucket/mine.weights.h5"], ["no-such-bucket"]),
        (["--weights", "imagenet"], ["'tiny' has no ImageNet weights"]),
        (["--data", "gs://no-such-bucket/data"], ["no-such-bucket"]),
        (["--metric", "f1"], ["f1", "macro_f1"]),
        (["--min-f1", "7"], ["7"]),
    ],
)
def test_bad_arguments(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments, words):
    (tmp_path / "bad.yaml").write_text("batch_size: -1")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")  # nobody listens there

    result = lesionflow(*site.arguments(tmp_path / "out", *arguments), cwd=tmp_path)

    _assert_one_sentence(result, words)
    assert not (tmp_path / "out" / "registry").exists()


def test_weights_that_cannot_be_downloaded_are_said_before_any_work(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))

    result = lesionflow("run", "--data", site.data, "--recipe", "quick", "--output", tmp_path / "out", cwd=tmp_path)

    _assert_one_sentence(result, ["ImageNet weights cannot be downloaded", "--weights FILE"])
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_not_ours(site: Site, tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.keras").write_text("not a model")
    with zipfile.ZipFile(site.data / ZIP) as archive:
        (tmp_path / "lesion.jpg").write_bytes(archive.read(archive.namelist()[0]))

    result = lesionflow("predict", "--model", tmp_path / "model", tmp_path / "lesion.jpg", cwd=tmp_path)

    _assert_one_sentence(result, [str(tmp_path / "model")])
    assert not (tmp_path / "predictions.csv").exists()


def _assert_one_sentence(result, words: list[str]) -> None:
    said = result.stdout + result.stderr
    assert result.returncode == 2, said
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if line.startswith(("Error:", "Failed:"))]
    for word in words:
        assert word in line, line
