"""Ingest on images of every kind, and on files that are hard on whoever reads them: quarantined, each with a reason."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_images import deep_grey, encoded, orientation, picture, rgb16_png, unusable
from PIL import Image

from lesionflow.artifacts.images import read_images
from lesionflow.data.pixels import decode

METADATA = "HAM10000_metadata.csv"


def write_source(folder: Path, files: dict[str, bytes]) -> Path:
    """A source of these files, each with its row."""
    folder.mkdir()
    with (folder / METADATA).open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["lesion_id", "image_id", "dx"])
        for number, (name, content) in enumerate(files.items()):
            (folder / name).write_bytes(content)
            rows.writerow([f"HAM_{number}", Path(name).stem, "nv"])
    return folder


@pytest.mark.timeout(120)
def test_a_file_that_cannot_be_used_is_quarantined_with_its_reason(
    tmp_path: Path, run_ingest: Callable[..., Any]
) -> None:
    named = {name.replace(".", "-") + Path(name).suffix: each for name, each in unusable().items()}
    files = {name: content for name, (content, _) in named.items()}
    source = write_source(tmp_path / "source", {"good.jpg": encoded(picture(), "JPEG"), **files})
    result = run_ingest(source, max_quarantine=0.99)
    assert result.table["image_id"].tolist() == ["good"]
    reasons = dict(zip(result.quarantine["file"], result.quarantine["reason"], strict=True))
    expected = {name: reason for name, (_, reason) in named.items()}
    assert {name: reasons[name][: len(reason)] for name, reason in expected.items()} == expected
    assert result.card["quarantined"]["format not read"] == 6
    assert result.card["quarantined"]["image too large"] == 3


def files_of(shown: Image.Image) -> dict[str, bytes]:
    """The picture in what is stored anew, for no program need see it alike."""
    grey = shown.convert("L")
    return {
        "deep.png": rgb16_png(np.asarray(shown)),
        "grey16.png": encoded(Image.fromarray(deep_grey(np.asarray(grey))), "PNG"),
        "turned.jpg": encoded(shown.rotate(90, expand=True), "JPEG", exif=orientation(6)),
        "tiff.tif": encoded(shown, "TIFF"),
        "webp.webp": encoded(shown, "WEBP", lossless=True),
        "bmp.bmp": encoded(shown, "BMP"),
        "jp2.jp2": encoded(shown, "JPEG2000"),
        "tiff-named.jpg": encoded(shown, "TIFF"),
    }


@pytest.mark.parametrize("stored_size", [256, 40])
def test_what_is_stored_is_what_predict_sees_and_any_program_can_read_it(
    tmp_path: Path, run_ingest: Callable[..., Any], stored_size: int
) -> None:
    files = files_of(picture(96, 80))
    result = run_ingest(write_source(tmp_path / "source", files), stored_size=stored_size)
    assert len(result.table) == len(files)
    assert result.quarantine.empty
    by_id = {Path(name).stem: content for name, content in files.items()}
    small = (96, 80) if stored_size == 256 else (48, 40)
    assert set(zip(result.table["width"], result.table["height"], strict=True)) == {small}
    for image_id, stored in read_images(result.folder, by_id):
        with Image.open(io.BytesIO(stored)) as opened:
            assert opened.format in ("JPEG", "PNG")
            assert (opened.size, opened.mode) == (small, "RGB")
        difference = decode(stored, 32).astype(int) - decode(by_id[image_id], 32)
        # A JPEG may be halved while it is decoded, which its copy as PNG is not; what shrank is a JPEG of its own.
        most = 12 if stored_size == 40 else 3 if image_id == "turned" else 0
        assert np.abs(difference).max() <= most


def test_what_is_not_used_is_counted_in_the_card(tmp_path: Path, run_ingest: Callable[..., Any]) -> None:
    source = write_source(tmp_path / "source", {"a.jpg": encoded(picture(), "JPEG")})
    (source / "consent.pdf").write_bytes(b"x")
    (source / "a.heic").write_bytes(b"x")
    result = run_ingest(source)
    assert result.card["passed_over"] == {".heic beside an image of the same name": 1, ".pdf file": 1}
    assert ".pdf file" in result.page
    assert ".pdf file (1)" in (result.folder / "README.md").read_text()


def test_the_path_in_the_shards_names_what_the_bytes_are(tmp_path: Path, run_ingest: Callable[..., Any]) -> None:
    import pyarrow.parquet as pq

    files = {
        "a.png": encoded(picture(), "JPEG"),
        "b.jpeg": encoded(picture(), "JPEG"),
        "c.jpg": encoded(picture(), "BMP"),
    }
    result = run_ingest(write_source(tmp_path / "source", files))
    (shard,) = result.folder.glob("*.parquet")
    paths = [row["image"]["path"] for row in pq.read_table(shard).to_pylist()]
    assert paths == ["a.jpg", "b.jpeg", "c.png"]
