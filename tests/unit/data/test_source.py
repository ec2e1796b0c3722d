"""What a source holds and what of it is not used: nothing is passed over without a word."""

import os
import tempfile
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hostile_images import encoded, picture

from lesionflow import storage
from lesionflow.data.source import open_source
from lesionflow.errors import UserError
from lesionflow.prediction.inputs import PredictionInputs

JPEG = encoded(picture(), "JPEG")


@contextmanager
def unprivileged() -> Generator[None]:
    """As somebody to whom permissions apply, should the tests be root's."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Generator[Path]:
    """A folder that everybody may read, with one image."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "photos"
        folder.mkdir()
        Path(name).chmod(0o755)
        (folder / "a.jpg").write_bytes(JPEG)
        yield folder
        for path in folder.rglob("*"):
            path.chmod(0o755)


def test_everything_that_is_not_used_is_counted_by_reason(tmp_path: Path):
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name in ("a.jpg", "b.tiff", "c.webp", "d.bmp", "e.jp2", "a_segmentation.png"):
        (folder / name).write_bytes(JPEG)
    for name in ("a.heic", "z.heic", "more/film.mp4", "more/other.mp4", "notes.pdf", ".DS_Store"):
        (folder / name).write_bytes(b"x")
    with zipfile.ZipFile(folder / "inner.zip", "w") as archive:
        archive.writestr("y.jpg", JPEG)
    with zipfile.ZipFile(folder / "outer.zip", "w") as archive:
        archive.write(folder / "inner.zip", "inner.zip")
    (folder / "table.csv").write_text("image_id,dx\n")

    source = open_source(str(folder))

    assert [entry.name for entry in source.images] == [
        "a.jpg", "b.tiff", "c.webp", "d.bmp", "e.jp2", "z.heic", "inner.zip/y.jpg",
    ]  # fmt: skip
    (note,) = source.notes()
    assert note.startswith(f"Not used in {folder}: 2 x .mp4 file (more/film.mp4), ")
    for reason in (
        "1 x .heic beside an image of the same name (a.heic)",
        "1 x .pdf file (notes.pdf)",
        "1 x zip within a zip (outer.zip/inner.zip)",
        "1 x segmentation mask (a_segmentation.png)",
        "1 x hidden file (.DS_Store)",
    ):
        assert reason in note
    assert "table" not in note
    assert "1 x table (.csv) (table.csv)" in source.notes(tables=False)[0]
    with PredictionInputs([str(folder)]) as inputs:
        assert inputs.notes == source.notes(tables=False)
    (folder / "only").mkdir()
    (folder / "only" / "a.jpg").write_bytes(JPEG)
    assert open_source(str(folder / "only")).notes() == []


@pytest.mark.parametrize("mode", [0o700, 0o744])
def test_a_folder_without_permission_is_said_and_the_rest_is_read(open_folder: Path, mode: int):
    closed = open_folder / "closed"
    closed.mkdir()
    (closed / "b.jpg").write_bytes(JPEG)
    closed.chmod(mode if os.geteuid() == 0 else mode & 0o477)
    with unprivileged():
        source = open_source(str(open_folder))
        with PredictionInputs([str(open_folder)]) as inputs:
            notes = inputs.notes
    assert [entry.name for entry in source.images] == ["a.jpg"]
    place = "closed" if mode == 0o700 else "closed/b.jpg"
    assert notes == source.notes() == [f"Not used in {open_folder}: 1 x unreadable (Permission denied) ({place})."]


def test_a_folder_that_is_closed_itself_is_an_error(open_folder: Path):
    open_folder.chmod(0o700 if os.geteuid() == 0 else 0)
    with unprivileged(), pytest.raises(UserError, match=r"photos cannot be read: Permission denied \(\.\); check"):
        open_source(str(open_folder))
    open_folder.chmod(0o755)


def test_who_does_not_ask_for_what_is_unreadable_is_refused(open_folder: Path):
    (open_folder / "closed").mkdir()
    (open_folder / "closed").chmod(0o700 if os.geteuid() == 0 else 0)
    with unprivileged(), pytest.raises(UserError, match="closed cannot be read: Permission denied"):
        storage.list_files(str(open_folder))


def test_an_image_without_permission_has_its_reason(open_folder: Path):
    (open_folder / "b.jpg").write_bytes(JPEG)
    (open_folder / "b.jpg").chmod(0o600 if os.geteuid() == 0 else 0)
    with unprivileged(), PredictionInputs([str(open_folder)]) as inputs:
        from lesionflow.data.image_problem import ImageProblem

        with pytest.raises(ImageProblem, match="unreadable file: Permission denied"):
            inputs.pictures[1].read()
