"""Local paths and gs:// addresses behave the same; buckets that do not answer say so in one sentence."""

import socket
from pathlib import Path

import pytest

from components.common import storage
from components.common.errors import UserError


@pytest.fixture(params=["local", "gs"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "root")
    return f"gs://{request.getfixturevalue('gcs')}/some/prefix"


def test_what_was_written_is_read_back_and_listed_at_any_depth(root: str) -> None:
    storage.write_bytes(storage.join(root, "b.txt"), b"bee")
    storage.write_bytes(storage.join(root, "sub", "deep", "a.txt"), b"a")
    storage.write_bytes(root + "-beside/c.txt", b"not below the prefix")
    assert storage.read_bytes(storage.join(root, "b.txt")) == b"bee"
    assert [(file.name, file.size) for file in storage.list_files(root)] == [("b.txt", 3), ("sub/deep/a.txt", 1)]


def test_writing_again_replaces(root: str) -> None:
    uri = storage.join(root, "pointer.json")
    storage.write_bytes(uri, b"one")
    storage.write_bytes(uri, b"two")
    assert storage.read_bytes(uri) == b"two"


def test_exists_knows_files_and_folders(root: str) -> None:
    storage.write_bytes(storage.join(root, "sub/file"), b"x")
    assert storage.exists(root)
    assert storage.exists(storage.join(root, "sub"))
    assert storage.exists(storage.join(root, "sub/file"))
    assert not storage.exists(storage.join(root, "su"))


def test_a_folder_survives_upload_and_download(root: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    contents = {f"sub/{index}.bin": bytes([index]) * 1000 for index in range(20)} | {"top.txt": b"top"}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    storage.upload_folder(folder, storage.join(root, "copy"))
    fetched = storage.download(storage.join(root, "copy"), tmp_path / "fetched")
    assert fetched.name == "copy"
    assert {path.relative_to(fetched).as_posix(): path.read_bytes() for path in fetched.rglob("*.*")} == contents


def test_one_file_is_downloaded_under_its_own_name(root: str, tmp_path: Path) -> None:
    storage.write_bytes(storage.join(root, "weights.h5"), b"weights")
    fetched = storage.download(storage.join(root, "weights.h5"), tmp_path / "fetched")
    assert fetched.name == "weights.h5"
    assert fetched.read_bytes() == b"weights"


def test_digests_in_a_bucket_follow_the_content(gcs: str) -> None:
    for name, data in {"a": b"same", "b": b"same", "c": b"other"}.items():
        storage.write_bytes(f"gs://{gcs}/d/{name}", data)
    a, b, c = (file.digest for file in storage.list_files(f"gs://{gcs}/d"))
    assert a
    assert a == b
    assert a != c


def test_objects_whose_names_lead_out_of_the_folder_are_refused(
    gcs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The emulator itself refuses such names; a real bucket holds them.
    monkeypatch.setattr(storage, "list_files", lambda uri: [storage.StoredFile("../../evil.txt", 1, None)])
    with pytest.raises(UserError, match=r"evil\.txt has a name that leads out of its folder"):
        storage.download(f"gs://{gcs}/d", tmp_path / "deep" / "fetched")
    assert list(tmp_path.rglob("*.txt")) == []


def test_missing_things_are_named(root: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        storage.list_files(storage.join(root, "nowhere"))
    with pytest.raises(UserError, match=r"nothing\.json"):
        storage.read_bytes(storage.join(root, "nothing.json"))


def test_a_missing_bucket_is_named(gcs: str) -> None:
    with pytest.raises(UserError, match="no-such-bucket"):
        storage.read_bytes("gs://no-such-bucket/x")
    with pytest.raises(UserError, match="no-such-bucket"):
        storage.list_files("gs://no-such-bucket/x")


@pytest.mark.timeout(40)
def test_an_unreachable_bucket_is_a_sentence_and_not_a_hang(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{closed.getsockname()[1]}")
    with pytest.raises(UserError, match="bucket far of gs://far/data cannot be reached") as caught:
        storage.list_files("gs://far/data")
    assert "\n" not in str(caught.value)


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(UserError, match=r"ftp://host/x .* expected a local path or gs://"):
        storage.list_files("ftp://host/x")
    with pytest.raises(UserError, match="names no bucket"):
        storage.exists("gs://")
