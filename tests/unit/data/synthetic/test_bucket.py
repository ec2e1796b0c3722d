"""Synthetic data in an object store: the same as in a folder, and whole, or not taken for a data set."""

from pathlib import Path

import pytest
from command import lesionflow

from lesionflow import storage
from lesionflow.data.metadata import NoMetadata, find_metadata
from lesionflow.data.source import SYNTHETIC_MARKER, open_source
from lesionflow.data.synthetic.bucket import write_synthetic_to_bucket
from lesionflow.data.synthetic.dataset import METADATA, ZIPS, write_synthetic
from lesionflow.errors import UserError
from lesionflow.storage.address import Address
from lesionflow.taxonomy import HAM10000

SMALL = (70, (32, 32))


def names(uri: str) -> set[str]:
    return {file.name for file in storage.list_files(uri)}


def test_a_bucket_gets_what_a_folder_would(bucket: str, tmp_path: Path) -> None:
    uri = f"{bucket}/some/data"
    assert write_synthetic_to_bucket(uri, *SMALL, seed=3) == write_synthetic(tmp_path / "data", *SMALL, seed=3)
    for name in (SYNTHETIC_MARKER, METADATA, *ZIPS):
        assert storage.read_bytes(f"{uri}/{name}") == (tmp_path / "data" / name).read_bytes()
    assert names(uri) == {SYNTHETIC_MARKER, METADATA, *ZIPS}


def test_the_command_writes_where_it_was_told_to(bucket: str, tmp_path: Path) -> None:
    ended = lesionflow("synth", f"{bucket}/data", "--images", "70", "--size", "32", "32", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"Wrote 70 synthetic images to {bucket}/data" in " ".join(ended.stdout.split())
    assert names(f"{bucket}/data") == {SYNTHETIC_MARKER, METADATA, *ZIPS}
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_left_alone(bucket: str) -> None:
    storage.write_bytes(f"{bucket}/data/precious.jpg", b"mine")
    with pytest.raises(UserError, match="is not empty"):
        write_synthetic_to_bucket(f"{bucket}/data", *SMALL)
    write_synthetic_to_bucket(f"{bucket}/other", *SMALL)
    with pytest.raises(UserError, match="is not empty"):
        write_synthetic_to_bucket(f"{bucket}/other", *SMALL, seed=1)
    assert names(f"{bucket}/data") == {"precious.jpg"}


@pytest.mark.parametrize("after", [1, 2, 3])
def test_what_an_interrupted_command_leaves_is_no_data_set_and_is_replaced(
    bucket: str, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    uri, written, write = f"{bucket}/data", list[Address](), storage.write_bytes

    def interrupted(where: Address, data: bytes) -> None:
        if len(written) == after:
            raise KeyboardInterrupt
        write(where, data)
        written.append(where)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "write_bytes", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_synthetic_to_bucket(uri, *SMALL)
    assert written[0].name == SYNTHETIC_MARKER, "never images without the note that they are synthetic"
    with pytest.raises(NoMetadata):
        find_metadata(open_source(uri), HAM10000)
    write_synthetic_to_bucket(uri, *SMALL)
    assert find_metadata(open_source(uri), HAM10000)


def test_a_bucket_that_does_not_exist_is_said_before_any_work(gcs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lesionflow.data.synthetic.bucket.write_synthetic", pytest.fail)
    with pytest.raises(UserError, match="no-such-bucket"):
        write_synthetic_to_bucket("gs://no-such-bucket/data", *SMALL)


def test_another_kind_of_address_is_refused(tmp_path: Path) -> None:
    ended = lesionflow("synth", "https://example.com/data", "--images", "70", cwd=tmp_path)
    assert ended.returncode == 2
    stores = "gs://bucket/prefix or minio://bucket/prefix or s3://bucket/prefix"
    assert f"expected a local path or {stores}." in ended.stderr
    assert list(tmp_path.iterdir()) == []
