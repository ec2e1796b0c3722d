"""Local paths, gs:// and s3:// behave the same; buckets that do not answer say so in one sentence."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from s3_server import S3Server
from seaweedfs import SeaweedFS

from lesionflow import storage
from lesionflow.errors import UserError
from lesionflow.storage.local import LocalDisk


def test_what_was_written_is_read_back_and_listed_at_any_depth(anywhere: str) -> None:
    storage.write_bytes(f"{anywhere}/b.txt", b"bee")
    storage.write_bytes(f"{anywhere}/sub/deep/a.txt", b"a")
    storage.write_bytes(anywhere + "-beside/c.txt", b"not below the prefix")
    assert storage.read_bytes(f"{anywhere}/b.txt") == b"bee"
    assert [(file.name, file.size) for file in storage.list_files(anywhere)] == [("b.txt", 3), ("sub/deep/a.txt", 1)]


def test_writing_again_replaces(anywhere: str) -> None:
    uri = f"{anywhere}/pointer.json"
    storage.write_bytes(uri, b"one")
    storage.write_bytes(uri, b"two")
    assert storage.read_bytes(uri) == b"two"


def test_exists_knows_files_and_folders(anywhere: str) -> None:
    storage.write_bytes(f"{anywhere}/sub/file", b"x")
    assert storage.exists(anywhere)
    assert storage.exists(f"{anywhere}/sub")
    assert storage.exists(f"{anywhere}/sub/file")
    assert not storage.exists(f"{anywhere}/su")


def test_a_folder_survives_upload_and_download(anywhere: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    contents = {f"sub/{index}.bin": bytes([index]) * 1000 for index in range(20)} | {"top.txt": b"top"}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    storage.upload_folder(folder, f"{anywhere}/copy")
    fetched = storage.download(f"{anywhere}/copy", tmp_path / "fetched")
    assert fetched.name == "copy"
    assert {path.relative_to(fetched).as_posix(): path.read_bytes() for path in fetched.rglob("*.*")} == contents


def test_one_file_is_downloaded_under_its_own_name(anywhere: str, tmp_path: Path) -> None:
    storage.write_bytes(f"{anywhere}/weights.h5", b"weights")
    fetched = storage.download(f"{anywhere}/weights.h5", tmp_path / "fetched")
    assert fetched.name == "weights.h5"
    assert fetched.read_bytes() == b"weights"


def test_digests_in_a_bucket_follow_the_content(bucket: str) -> None:
    for name, data in {"a": b"same", "b": b"same", "c": b"other"}.items():
        storage.write_bytes(f"{bucket}/d/{name}", data)
    a, b, c = (file.digest for file in storage.list_files(f"{bucket}/d"))
    assert a
    assert a == b
    assert a != c


def test_an_object_in_parts_changes_its_digest_with_one_byte(seaweedfs: SeaweedFS) -> None:
    data = bytearray(9 * 2**20)
    storage.write_bytes("s3://bucket/d/large", bytes(data))
    (before,) = storage.list_files("s3://bucket/d")
    data[-1] = 1
    storage.write_bytes("s3://bucket/d/large", bytes(data))
    (after,) = storage.list_files("s3://bucket/d")
    assert before.digest
    assert "-2" in before.digest  # so it did come in parts
    assert before.digest != after.digest
    assert storage.read_bytes("s3://bucket/d/large") == data


def test_a_file_is_replaced_only_if_it_is_the_one_that_was_read(anywhere: str) -> None:
    uri = f"{anywhere}/pointer.json"
    assert storage.read_versioned(uri) is None
    storage.replace(uri, b"one", expected=None)
    one = storage.read_versioned(uri)
    assert one
    storage.replace(uri, b"two", expected=one[1])
    two = storage.read_versioned(uri)
    assert two
    assert (one[0], two[0]) == (b"one", b"two")
    assert one[1] != two[1]
    if not anywhere.startswith("gs://"):  # the emulator does not enforce it; see promote/test_champion.py
        for stale in (one[1], None):
            with pytest.raises(storage.Conflict):
                storage.replace(uri, b"three", expected=stale)
        with pytest.raises(storage.Conflict):
            storage.replace(f"{anywhere}/gone.json", b"three", expected=one[1])
    assert storage.read_bytes(uri) == b"two"


def test_on_a_disk_nobody_gets_between_the_comparison_and_the_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = str(tmp_path / "pointer.json")
    write = LocalDisk.write

    def slow(disk: LocalDisk, place: storage.Address, data: bytes) -> None:
        time.sleep(0.05)
        write(disk, place, data)

    monkeypatch.setattr(LocalDisk, "write", slow)

    def create(number: int) -> bool:
        try:
            storage.replace(uri, str(number).encode(), expected=None)
        except storage.Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(create, range(8)))
    assert sum(created) == 1
    assert storage.read_bytes(uri) == str(created.index(True)).encode()


def test_objects_whose_names_lead_out_of_the_folder_are_refused(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The emulators themselves refuse such names; a real bucket holds them.
    monkeypatch.setattr(storage, "list_files", lambda uri: [storage.StoredFile("../../evil.txt", 1, None)])
    with pytest.raises(UserError, match=r"evil\.txt has a name that leads out of its folder"):
        storage.download(f"{bucket}/d", tmp_path / "deep" / "fetched")
    assert list(tmp_path.rglob("*.txt")) == []


def test_a_download_that_fails_half_way_leaves_nothing(bucket: str, tmp_path: Path) -> None:
    storage.write_bytes(f"{bucket}/d/there", b"x")
    with pytest.raises(UserError, match="does not exist"):
        storage.download(f"{bucket}/d", tmp_path / "fetched", ["there", "gone"])
    assert list((tmp_path / "fetched").iterdir()) == []


def test_a_file_that_goes_while_its_folder_is_listed_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stays").write_bytes(b"x")
    walk = [(str(tmp_path), [], ["stays"]), (str(tmp_path / ".renamed"), [], ["gone"])]
    monkeypatch.setattr("os.walk", lambda *arguments, **options: iter(walk))
    assert [file.name for file in storage.list_files(str(tmp_path))] == ["stays"]


def test_missing_things_are_named(anywhere: str) -> None:
    with pytest.raises(UserError, match="nowhere"):
        storage.list_files(f"{anywhere}/nowhere")
    with pytest.raises(UserError, match=r"nothing\.json"):
        storage.read_bytes(f"{anywhere}/nothing.json")


@pytest.mark.parametrize("scheme", ["gs", "s3"])
def test_a_missing_bucket_is_named(request: pytest.FixtureRequest, scheme: str, tmp_path: Path) -> None:
    """SeaweedFS makes a bucket that its administrator writes to; users of a namespace are refused."""
    request.getfixturevalue({"gs": "gcs", "s3": "team_a"}[scheme])
    missing = f"{scheme}://no-such-bucket"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"x")
    for action in (
        lambda: storage.read_bytes(f"{missing}/x"),
        lambda: storage.list_files(f"{missing}/x"),
        lambda: storage.download(f"{missing}/x", tmp_path),
        lambda: storage.write_bytes(f"{missing}/x", b""),
        lambda: storage.replace(f"{missing}/x", b"", None),
        lambda: storage.upload_folder(tmp_path / "folder", f"{missing}/x"),
    ):
        with pytest.raises(UserError, match="no-such-bucket") as caught:
            action()
        assert "\n" not in str(caught.value)


@pytest.fixture(params=["gs", "s3"])
def far(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a bucket; where it is looked for is the test's affair."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    return f"{request.param}://far/data"


def _all_endpoints(monkeypatch: pytest.MonkeyPatch, listener: socket.socket) -> None:
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)


@pytest.mark.slow
@pytest.mark.timeout(40)
def test_a_bucket_that_refuses_the_connection_is_a_sentence(far: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        _all_endpoints(monkeypatch, closed)
    with pytest.raises(UserError, match=f"bucket far of {far} cannot be reached") as caught:
        storage.list_files(far)
    assert "\n" not in str(caught.value)


@pytest.mark.timeout(40)
def test_a_bucket_that_never_answers_is_a_sentence_and_not_a_hang(far: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lesionflow.storage.store.FIRST_CONTACT", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        _all_endpoints(monkeypatch, silent)
        with pytest.raises(UserError, match=rf"bucket far of {far} cannot be reached \(no answer within 0.2 s\)"):
            storage.exists(far)


@pytest.mark.parametrize(
    ("answer", "code", "sentence"),
    [
        ("403 Forbidden", "AccessDenied", "Access to s3://bucket/x was denied"),
        ("403 Forbidden", "SignatureDoesNotMatch", "Access to s3://bucket/x was denied"),
        ("400 Bad Request", "ExpiredToken", "have expired"),
        ("400 Bad Request", "InvalidBucketName", r"refuses s3://bucket/x \(InvalidBucketName\)"),
        ("501 Not Implemented", "NotImplemented", "does not know how to PutObject; upgrade it"),
    ],
)
def test_what_s3_refuses_is_one_sentence(s3_server: S3Server, answer: str, code: str, sentence: str) -> None:
    s3_server.refuses_with = answer, code
    with pytest.raises(UserError, match=sentence) as caught:
        storage.write_bytes("s3://bucket/x", b"data")
    assert "\n" not in str(caught.value)


def test_without_credentials_the_sentence_says_how_to_give_some(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"{s3_server.url}/")  # so that a client of its own is made
    with pytest.raises(UserError, match=r"No usable S3 credentials .* set AWS_ACCESS_KEY_ID"):
        storage.exists("s3://bucket/x")


def test_a_password_in_the_endpoint_is_not_shown(far: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://me:secret@127.0.0.1:1")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://me:secret@127.0.0.1:1")
    monkeypatch.setattr("lesionflow.storage.store.FIRST_CONTACT", 1.0)
    with pytest.raises(UserError, match="cannot be reached") as caught:
        storage.exists(far)
    assert "secret" not in str(caught.value)


def test_a_store_that_ignores_conditions_is_not_trusted_with_a_swap(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lesionflow.storage.buckets.s3._conditional", set())
    s3_server.ignores_conditions = True
    with pytest.raises(UserError, match="ignores the condition of a conditional write"):
        storage.replace("s3://bucket/pointer.json", b"one", expected=None)
    assert not storage.exists("s3://bucket/pointer.json")


def test_such_a_store_is_found_out_before_a_swap(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lesionflow.storage.buckets.s3._conditional", set())
    storage.check_swaps("s3://bucket/registry/")
    assert [file.name for file in storage.list_files("s3://bucket")] == ["registry/swaps.only-once"]
    monkeypatch.setattr("lesionflow.storage.buckets.s3._conditional", set())
    s3_server.ignores_conditions = True
    with pytest.raises(UserError, match="ignores the condition of a conditional write"):
        storage.check_swaps("s3://bucket/registry")


def test_other_stores_are_not_asked(gcs: str, tmp_path: Path) -> None:
    for registry in (f"gs://{gcs}/registry", str(tmp_path / "registry")):
        storage.check_swaps(registry)
        assert not storage.exists(registry)


def test_minio_is_s3_with_an_endpoint(seaweedfs: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write_bytes("s3://bucket/sub/file", b"x")
    assert storage.read_bytes("minio://bucket/sub/file") == b"x"
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    with pytest.raises(UserError, match="does not say on which server; set AWS_ENDPOINT_URL_S3"):
        storage.read_bytes("minio://bucket/sub/file")


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"ftp://host/x .* expected a local path or gs://bucket/prefix or .*s3://bucket/prefix"
    ):
        storage.list_files("ftp://host/x")
    for uri in ("gs://", "s3://", "minio:///key"):
        with pytest.raises(UserError, match="names no bucket"):
            storage.exists(uri)


def test_a_file_in_the_way_of_a_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for action in (storage.write_bytes, lambda uri, data: storage.replace(uri, data, None)):
        with pytest.raises(UserError, match="cannot be written"):
            action(str(tmp_path / "file" / "below"), b"x")
