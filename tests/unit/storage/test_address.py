"""One type knows where things lie, and what lies below and above; a store is added as a file."""

from pathlib import Path

import pytest

from lesionflow import storage
from lesionflow.errors import UserError
from lesionflow.storage import Address, buckets

ADDED = """
from lesionflow.storage.store import Buckets, StoredFile, Version

FILES = {}


class Memory(Buckets):
    def exists(self, place):
        return self.is_file(place) or any(name.startswith(f"{place.path}/") for name in FILES)

    def is_file(self, place):
        return place.path in FILES

    def read(self, place):
        return FILES.get(place.path)

    def read_versioned(self, place):
        return (FILES[place.path], Version("1")) if place.path in FILES else None

    def write(self, place, data):
        FILES[place.path] = data

    def replace(self, place, data, expected):
        FILES[place.path] = data

    def list_files(self, place):
        start = f"{place.path}/"
        return [StoredFile(name[len(start):], len(FILES[name]), None) for name in FILES if name.startswith(start)]

    def fetch(self, place, files):
        for name, target in files.items():
            target.write_bytes(FILES[f"{place.path}/{name}" if name else place.path])

    def send(self, place, files):
        for name, source in files.items():
            FILES[f"{place.path}/{name}"] = source.read_bytes()


STORE = Memory()
"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("runs/one", "runs/one"),
        ("./runs//one/", "runs/one"),
        ("/data/images", "/data/images"),
        ("file:///data/with%20space", "/data/with space"),
        ("gs://bucket", "gs://bucket"),
        ("gs://bucket/", "gs://bucket"),
        ("s3://bucket/a//b/", "s3://bucket/a//b"),
        ("S3://Bucket/Key", "s3://Bucket/Key"),
        ("minio://bucket/a b#c?d", "minio://bucket/a b#c?d"),
        ("odd: a//b", "odd: a/b"),
    ],
)
def test_an_address_is_shown_as_one_would_write_it(text: str, shown: str) -> None:
    address = Address.parse(text)
    assert str(address) == shown
    assert Address.parse(shown) == address
    assert Address.parse(address) is address


def test_home_is_what_a_shell_makes_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/jane")
    assert str(Address.parse("~/images")) == "/home/jane/images"
    assert str(Address.parse("~")) == "/home/jane"
    assert str(Address.parse("~nobody-of-that-name/x")) == "~nobody-of-that-name/x"
    assert str(Address.parse("images/~")) == "images/~"
    assert str(Address.parse(Path("~/images"))) == "~/images"  # whoever made a Path has said what it is


@pytest.mark.parametrize("top", ["/data", "gs://bucket", "s3://bucket/deep"])
def test_what_lies_below_and_above(top: str) -> None:
    address = Address.parse(top)
    below = address / "versions" / "2025/card.JSON"
    assert str(below) == f"{top}/versions/2025/card.JSON"
    assert (below.name, below.suffix) == ("card.JSON", ".json")
    assert below.parent == address / "versions/2025"
    assert below.parent.parent.parent == address
    assert address / "/leading/" == address / "leading"
    assert address.name == top.rpartition("/")[2]


def test_the_top_lies_in_itself() -> None:
    for top in ("/", "gs://bucket"):
        assert Address.parse(top).parent == Address.parse(top)
    assert str(Address.parse("one").parent) == "."


def test_only_a_local_address_has_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Address.parse("a/b").local == Path("a/b")
    assert Address.parse("a/b").absolute().local == tmp_path / "a" / "b"
    assert str(Address.parse("gs://bucket/a").absolute()) == "gs://bucket/a"
    with pytest.raises(ValueError, match="gs://bucket/a is no path of this machine"):
        _ = Address.parse("gs://bucket/a").local


def test_an_empty_address_is_refused() -> None:
    with pytest.raises(UserError, match="The address is empty; expected a local path or gs://bucket/prefix"):
        Address.parse("")


def test_a_store_is_added_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "memory.py").write_text(ADDED)
    with pytest.raises(UserError, match="is not an address"):
        storage.exists("memory://bucket/x")
    buckets.__path__.append(str(tmp_path / "more"))
    buckets.schemes.cache_clear()
    try:
        storage.write_bytes("memory://bucket/folder/file", b"content")
        assert storage.read_bytes(Address.parse("memory://bucket") / "folder/file") == b"content"
        fetched = storage.download("memory://bucket/folder", tmp_path)
        assert {path.name: path.read_bytes() for path in fetched.iterdir()} == {"file": b"content"}
    finally:
        buckets.__path__.remove(str(tmp_path / "more"))
        buckets.schemes.cache_clear()
