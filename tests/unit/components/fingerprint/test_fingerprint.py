"""The digest changes exactly when the data or another external input does."""

import os
import shutil
import zipfile
from pathlib import Path

import pytest

from lesionflow import storage
from lesionflow.components.fingerprint.fingerprint import fingerprint
from lesionflow.errors import UserError


def zipped(folder: Path, target: Path) -> Path:
    """The same data with its images in a zip."""
    target.mkdir()
    with zipfile.ZipFile(target / "images.zip", "w") as archive:
        for path in sorted(folder.glob("*.jpg")):
            archive.write(path, path.name)
    shutil.copy(folder / "HAM10000_metadata.csv", target)
    return target


@pytest.fixture(params=["loose", "zip", "gs"])
def source(request: pytest.FixtureRequest, small_source: Path, tmp_path: Path) -> str:
    if request.param == "loose":
        return str(small_source)
    if request.param == "zip":
        return str(zipped(small_source, tmp_path / "zipped"))
    uri = f"gs://{request.getfixturevalue('gcs')}/ham"
    storage.upload_folder(small_source, uri)
    return uri


def test_a_copy_elsewhere_and_later_has_the_same_digest(source: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(storage.download(source, tmp_path / "fetched"), copy)
    for path in copy.iterdir():
        os.utime(path, (1, 1))
    remote = storage.Address.parse(source).is_remote
    if remote:
        storage.upload_folder(copy, source + "-copy")
    assert fingerprint(source + "-copy" if remote else str(copy)) == fingerprint(source)


@pytest.mark.parametrize("change", ["replaced", "added", "removed", "renamed", "metadata"])
def test_any_change_of_loose_files_changes_the_digest(small_source: Path, change: str) -> None:
    before = fingerprint(str(small_source))
    image = small_source / "ISIC_0000003.jpg"
    if change == "replaced":  # by as many bytes
        data = bytearray(image.read_bytes())
        data[-20] ^= 1
        image.write_bytes(data)
    elif change == "added":
        shutil.copy(image, small_source / "ISIC_9999999.jpg")
    elif change == "removed":
        image.unlink()
    elif change == "renamed":
        image.rename(small_source / "ISIC_9999999.jpg")
    else:
        table = small_source / "HAM10000_metadata.csv"
        table.write_text(table.read_text().replace("female", "male", 1))
    assert fingerprint(str(small_source)) != before


def test_an_image_replaced_in_a_zip_or_bucket_changes_the_digest(
    small_source: Path, bucket: str, tmp_path: Path
) -> None:
    storage.upload_folder(small_source, f"{bucket}/ham")
    before = fingerprint(str(zipped(small_source, tmp_path / "a"))), fingerprint(f"{bucket}/ham")
    image = small_source / "ISIC_0000003.jpg"
    data = bytearray(image.read_bytes())
    data[-20] ^= 1
    image.write_bytes(data)
    storage.write_bytes(f"{bucket}/ham/{image.name}", bytes(data))
    after = fingerprint(str(zipped(small_source, tmp_path / "b"))), fingerprint(f"{bucket}/ham")
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_a_zip_in_a_bucket_counts_as_a_whole(small_source: Path, bucket: str, tmp_path: Path) -> None:
    folder = zipped(small_source, tmp_path / "zipped")
    storage.upload_folder(folder, f"{bucket}/ham")
    before = fingerprint(f"{bucket}/ham")
    with zipfile.ZipFile(folder / "images.zip", "a") as archive:
        archive.writestr("ISIC_9999999.jpg", b"one more")
    storage.upload_folder(folder, f"{bucket}/ham")
    assert fingerprint(f"{bucket}/ham") != before


def test_metadata_may_lie_in_a_zip(small_source: Path, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    shutil.make_archive(str(tmp_path / "one" / "archive"), "zip", small_source)
    storage.upload_folder(tmp_path / "one", f"{bucket}/one")
    assert len(fingerprint(str(tmp_path / "one"))) == len(fingerprint(f"{bucket}/one")) == 64


def test_files_that_are_no_data_do_not_matter(small_source: Path) -> None:
    before = fingerprint(str(small_source))
    (small_source / "notes.md").write_text("remember the milk")
    (small_source / ".DS_Store").write_bytes(b"\0")
    assert fingerprint(str(small_source)) == before


def test_the_other_inputs_count_by_their_content(small_source: Path, tmp_path: Path) -> None:
    source = str(small_source)
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    one.write_text("a,b\n")
    same.write_text("a,b\n")
    other.write_text("a,c\n")
    assert fingerprint(source) == fingerprint(source, weights="imagenet")
    for name in ("weights", "duplicate_pairs", "fixed_test"):
        digest = fingerprint(source, **{name: str(one)})
        assert digest == fingerprint(source, **{name: str(same)})
        assert len({digest, fingerprint(source), fingerprint(source, **{name: str(other)})}) == 3
    assert fingerprint(source, weights="none") != fingerprint(source)
    assert fingerprint(source, duplicate_pairs=str(one)) != fingerprint(source, fixed_test=str(one))


def test_bad_input_is_found_here_first(small_source: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    only_table = tmp_path / "table"
    only_table.mkdir()
    shutil.copy(small_source / "HAM10000_metadata.csv", only_table)
    cases = {
        "no-such-folder does not exist": {"source": str(tmp_path / "no-such-folder")},
        "empty is empty; expected images": {"source": str(empty)},
        "table holds no images": {"source": str(only_table)},
        "The source is empty": {"source": ""},
        "starting weights cannot be read: imagnet": {"source": str(small_source), "weights": "imagnet"},
        "duplicate pairs cannot be read: pairs.csv": {"source": str(small_source), "duplicate_pairs": "pairs.csv"},
        "fixed test list cannot be read: gs://": {"source": str(small_source), "fixed_test": "gs://"},
    }
    for message, arguments in cases.items():
        with pytest.raises(UserError, match=message) as caught:
            fingerprint(**arguments)
        assert "\n" not in str(caught.value)


def test_no_metadata_is_found_here_first(small_source: Path) -> None:
    (small_source / "HAM10000_metadata.csv").rename(small_source / "HAM10000_metadata.xlsx")
    with pytest.raises(UserError, match="No metadata table was found"):
        fingerprint(str(small_source))
