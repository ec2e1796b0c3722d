"""The store of Kubeflow Pipelines, for real: swaps, many keys, odd names, namespaces, and a server that goes away."""

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from seaweedfs import SeaweedFS

from lesionflow import storage
from lesionflow.errors import UserError
from lesionflow.storage import s3_connection as s3

pytestmark = pytest.mark.slow  # stops and starts the store, and fills it

MANY = 10_000


def replaced(uri: str, data: bytes, expected: storage.Version | None) -> bool:
    """Whether the swap took place."""
    try:
        storage.replace(uri, data, expected)
    except storage.Conflict:
        return False
    return True


def test_of_many_who_create_a_pointer_one_does(seaweedfs: SeaweedFS) -> None:
    uri = "s3://bucket/registry/champion.json"

    def create(number: int) -> bool:
        return replaced(uri, str(number).encode(), None)

    with ThreadPoolExecutor(16) as pool:
        created = list(pool.map(create, range(64)))
    assert sum(created) == 1
    assert storage.read_bytes(uri) == str(created.index(True)).encode()


def test_no_swap_is_lost_and_none_happens_twice(seaweedfs: SeaweedFS) -> None:
    uri = "s3://bucket/registry/counter"
    storage.replace(uri, b"0", None)

    def increment(_: int) -> None:
        while True:
            found = storage.read_versioned(uri)
            assert found
            if replaced(uri, str(int(found[0]) + 1).encode(), found[1]):
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(increment, range(50)))
    assert storage.read_bytes(uri) == b"50"


def test_all_of_many_keys_are_listed(seaweedfs: SeaweedFS, tmp_path: Path) -> None:
    """Ten pages of the server's. A fingerprint that misses one page says that nothing has changed."""
    names = [f"part-{index % 7}/ISIC_{index:07d}.jpg" for index in range(MANY)]
    for name in names:
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text(name)
    seaweedfs.fill("bucket", tmp_path / "data")
    files = storage.list_files("s3://bucket/data")
    assert [file.name for file in files] == sorted(names)
    assert all(file.size == len(file.name) for file in files)


# A backslash and a doubled slash are none: SeaweedFS takes both for one slash.
ODD = [
    *("a b.jpg", " leads.jpg", "plus+and%20.jpg", "q?uery.jpg", "h#ash.jpg", "amp&=;,@!$.jpg", "quote'\"<>.jpg"),
    *("tab\t.jpg", "naevus-Läsion.jpg", "na\u0308vus.jpg", "病变/図.jpg", "🩺.jpg", "~tilde.jpg", "[b]{c}|^`.jpg"),
    *("...", "a..b/..c", "-rf", "*", "x" * 200 + ".jpg", "deep/" * 40 + "f"),
]


@pytest.mark.parametrize("name", ODD)
def test_a_key_with_an_odd_name_comes_back(seaweedfs: SeaweedFS, tmp_path: Path, name: str) -> None:
    uri = f"s3://bucket/odd/{name}"
    storage.write_bytes(uri, name.encode())
    assert storage.read_bytes(uri) == name.encode()
    assert storage.exists(uri)
    (file,) = storage.list_files("s3://bucket/odd")
    assert (file.name, file.size) == (name, len(name.encode()))
    fetched = storage.download("s3://bucket/odd", tmp_path / "fetched")
    assert (fetched / name).read_bytes() == name.encode()


def test_a_folder_whose_name_is_that_of_a_file_hides_neither(seaweedfs: SeaweedFS) -> None:
    storage.write_bytes("s3://bucket/model", b"file")
    storage.write_bytes("s3://bucket/model/weights", b"below")
    assert storage.read_bytes("s3://bucket/model") == b"file"
    assert [file.name for file in storage.list_files("s3://bucket/model")] == ["weights"]


def test_a_deleted_folder_leaves_nothing_that_exists(seaweedfs: SeaweedFS) -> None:
    """SeaweedFS has real folders below its keys."""
    storage.write_bytes("s3://bucket/a/b/c", b"x")
    seaweedfs.admin.delete_object(Bucket="bucket", Key="a/b/c")
    assert not storage.exists("s3://bucket/a/b")
    with pytest.raises(UserError, match="s3://bucket/a"):
        storage.list_files("s3://bucket/a")


@pytest.mark.parametrize("folder", ["private/team-a", "private-artifacts/team-a", "artifacts", "shared"])
def test_a_namespace_uses_its_own_folders(team_a: str, folder: str, tmp_path: Path) -> None:
    """Everything that the pipeline does with a registry, data, checkpoints and artifacts, large ones too."""
    place = f"{team_a}/{folder}/lesionflow"
    assert not storage.exists(place)
    assert storage.read_versioned(f"{place}/champion.json") is None
    storage.check_swaps(f"{place}/registry")
    storage.replace(f"{place}/champion.json", b"one", None)
    assert not replaced(f"{place}/champion.json", b"two", None)
    (tmp_path / "large").write_bytes(bytes(9 * 2**20))
    storage.upload_folder(tmp_path, f"{place}/copy")
    assert [file.name for file in storage.list_files(f"{place}/copy")] == ["large"]
    assert storage.download(f"{place}/copy/large", tmp_path / "fetched").stat().st_size == 9 * 2**20


@pytest.mark.parametrize("folder", ["private/team-b", "private-artifacts/team-b", "registry"])
def test_a_namespace_is_refused_elsewhere_in_one_sentence(
    team_a: str, seaweedfs: SeaweedFS, folder: str, tmp_path: Path
) -> None:
    seaweedfs.admin.put_object(Bucket="mlpipeline", Key=f"{folder}/secret", Body=b"secret")
    uri = f"{team_a}/{folder}/secret"
    (tmp_path / "file").write_bytes(b"x")
    for action in (
        lambda: storage.read_bytes(uri),
        lambda: storage.exists(uri),
        lambda: storage.list_files(f"{team_a}/{folder}"),
        lambda: storage.write_bytes(uri, b"overwritten"),
        lambda: storage.replace(uri, b"overwritten", None),
        lambda: storage.upload_folder(tmp_path, f"{team_a}/{folder}"),
        lambda: storage.download(uri, tmp_path / "fetched"),
    ):
        with pytest.raises(UserError, match=rf"Access to {team_a}/{folder}.* was denied") as caught:
            action()
        assert "\n" not in str(caught.value)
    assert seaweedfs.admin.get_object(Bucket="mlpipeline", Key=f"{folder}/secret")["Body"].read() == b"secret"


@pytest.mark.parametrize("wrong", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_credentials_that_the_store_does_not_know(
    seaweedfs: SeaweedFS, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv(wrong, "wrong")
    s3._client.cache_clear()
    try:
        with pytest.raises(UserError, match="Access to s3://bucket/x was denied") as caught:
            storage.read_bytes("s3://bucket/x")
    finally:
        s3._client.cache_clear()
    assert "\n" not in str(caught.value)


@pytest.fixture
def own_store(seaweedfs: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> SeaweedFS:
    """A store that this test may end."""
    store = SeaweedFS()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.url)
    return store


def pauses(monkeypatch: pytest.MonkeyPatch, instead: Callable[[float], None]) -> None:
    """What botocore does before it tries again."""
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=instead))


def test_a_store_that_goes_away_in_the_middle_is_one_sentence_and_loses_nothing(
    own_store: SeaweedFS, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pauses(monkeypatch, lambda _: None)
    with own_store as store:
        store.empty_bucket("bucket")
        storage.replace("s3://bucket/registry/champion.json", b"one", None)
        for index in range(20):
            (tmp_path / f"{index:02d}").write_bytes(bytes([index]) * 100_000)
        storage.upload_folder(tmp_path, "s3://bucket/whole")
        store.stop(signal.SIGKILL)
        for action in (
            lambda: storage.upload_folder(tmp_path, "s3://bucket/half"),
            lambda: storage.download("s3://bucket/whole", tmp_path / "fetched"),
            lambda: storage.replace("s3://bucket/registry/champion.json", b"two", None),
            lambda: storage.read_bytes("s3://bucket/registry/champion.json"),
        ):
            with pytest.raises(UserError, match="cannot be reached") as caught:
                action()
            assert "\n" not in str(caught.value)
        assert not list((tmp_path / "fetched").glob("*"))
        store.start()
        assert storage.read_bytes("s3://bucket/registry/champion.json") == b"one"
        whole = storage.download("s3://bucket/whole", tmp_path / "again")
        assert all((whole / f"{index:02d}").read_bytes() == bytes([index]) * 100_000 for index in range(20))


def test_a_store_that_comes_back_is_waited_for(own_store: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod of the store that is rescheduled costs no training."""
    with own_store as store:
        store.empty_bucket("bucket")
        storage.write_bytes("s3://bucket/checkpoint", b"epoch 1")
        store.stop(signal.SIGKILL)
        waited: list[float] = []

        def until_it_is_back(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 1:
                store.start()

        pauses(monkeypatch, until_it_is_back)
        storage.write_bytes("s3://bucket/checkpoint", b"epoch 2")
        assert waited
        assert storage.read_bytes("s3://bucket/checkpoint") == b"epoch 2"
