"""`predict` on images of every kind, and on files that are hard on whoever reads them: a row each, and no program."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hostile_images import deep_grey, encoded, orientation, picture, rgb16_png, unusable
from judged import make_colour_model
from PIL import Image

from lesionflow.prediction.predict import predict
from lesionflow.taxonomy import HAM10000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_colour_model(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture
def telling_ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Ghostscript on the PATH that leaves a file if anybody runs it, and then never ends."""
    marker, program = tmp_path / "a-program-ran", tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {marker}\nsleep 1000\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return marker


def classify(model: Path, folder: Path) -> pd.DataFrame:
    output = folder.with_name(f"{folder.name}.csv")
    predict(str(model), [str(folder)], output)
    return pd.read_csv(output, keep_default_na=False, index_col="image_id")


@pytest.mark.timeout(120)
def test_a_file_that_cannot_be_used_is_a_row_with_its_reason(model: Path, tmp_path: Path, telling_ghostscript: Path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "good.jpg").write_bytes(encoded(picture(), "JPEG"))
    expected = {}
    for name, (content, reason) in unusable().items():
        stem = name.replace(".", "-")
        (folder / f"{stem}{Path(name).suffix}").write_bytes(content)
        expected[stem] = reason
    (tmp_path / "elsewhere").mkdir()

    table = classify(model, folder)

    assert table.loc["good", "predicted"] in HAM10000.codes
    assert table.loc["good", "error"] == ""
    assert {name: table.loc[name, "error"][: len(reason)] for name, reason in expected.items()} == expected
    assert (table.drop("good")[[*HAM10000.codes, "predicted"]] == "").all(axis=None)
    assert not telling_ghostscript.exists()
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["good.jpg", *(name.replace(".", "-") + Path(name).suffix for name in unusable())]
    )


def test_one_picture_is_classified_alike_in_every_format_and_under_any_name(model: Path, tmp_path: Path):
    folder, shown = tmp_path / "images", picture(96, 80)
    folder.mkdir()
    files = {
        "png.png": encoded(shown, "PNG"),
        "deep.png": rgb16_png(np.asarray(shown)),
        "rgba.png": encoded(shown.convert("RGBA"), "PNG"),
        "jpeg.jfif": encoded(shown, "JPEG", quality=98, subsampling=0),
        "cmyk.jpg": encoded(shown.convert("CMYK"), "JPEG", quality=98, subsampling=0),
        "phone.jpg": encoded(shown, "MPO", quality=98, subsampling=0, save_all=True, append_images=[shown]),
        "turned.jpg": encoded(shown.rotate(90, expand=True), "JPEG", quality=98, exif=orientation(6), subsampling=0),
        "tiff.tif": encoded(shown, "TIFF"),
        "webp.webp": encoded(shown, "WEBP", lossless=True),
        "bmp.bmp": encoded(shown, "BMP"),
        "jp2.jp2": encoded(shown, "JPEG2000"),
        "tiff-named.jpg": encoded(shown, "TIFF"),
        "webp-named.png": encoded(shown, "WEBP", lossless=True),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)

    table = classify(model, folder)

    assert len(table) == len(files)
    assert (table["error"] == "").all()
    metrics = table[list(HAM10000.codes)].astype(float)
    assert (metrics - metrics.loc["png"]).abs().max(axis=None) < 1e-3


def test_16_bit_grey_is_classified_as_8_bit_grey(model: Path, tmp_path: Path):
    folder, grey = tmp_path / "images", picture().convert("L")
    folder.mkdir()
    (folder / "grey8.png").write_bytes(encoded(grey, "PNG"))
    deep = Image.fromarray(deep_grey(np.asarray(grey)))
    (folder / "grey16.png").write_bytes(encoded(deep, "PNG"))
    (folder / "grey16tif.tif").write_bytes(encoded(deep, "TIFF"))
    table = classify(model, folder)
    metrics = table[list(HAM10000.codes)].astype(float)
    np.testing.assert_allclose(metrics.loc[["grey16", "grey16tif"]], metrics.loc[["grey8", "grey8"]], atol=2e-6)
