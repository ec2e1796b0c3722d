"""The ImageNet weights: where Keras' own application has them from, cached as it does, or one sentence."""

import hashlib
import time
from collections.abc import Generator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from lesionflow.errors import UserError
from lesionflow.models import published_weights
from lesionflow.models.backbones import BACKBONES
from lesionflow.models.published_weights import check_published, imagenet_weights, keras_cache

CONTENT = b"the published weights" * 100_000
NAME = check_published("efficientnetv2b0").file


class Server(ThreadingHTTPServer):
    """Answers every request with `content`, or with the status `refusal`, or never."""

    content = CONTENT
    refusal = 0
    mute = False
    requests = 0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        if self.server.mute:
            time.sleep(3)
            return
        self.send_response(self.server.refusal or 200)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[Server]:
    """Stands in for the published address; Keras' cache is empty."""
    found = Server(("127.0.0.1", 0), Handler)
    Thread(target=found.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{found.server_port}/weights.h5"
    published = replace(
        check_published("efficientnetv2b0"),
        address=address,
        md5=hashlib.md5(CONTENT, usedforsecurity=False).hexdigest(),
    )
    backbone = replace(BACKBONES["efficientnetv2b0"], published=published)
    monkeypatch.setitem(BACKBONES, "efficientnetv2b0", backbone)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield found
    found.shutdown()
    found.server_close()


@pytest.mark.parametrize("backbone", [name for name, each in BACKBONES.items() if each.published])
def test_name_address_and_hash_are_those_of_keras_own_application(backbone: str, monkeypatch: pytest.MonkeyPatch):
    import keras
    from keras.src.utils import file_utils

    asked: list[dict[str, str]] = []

    def get_file(fname: str, origin: str, **options: str) -> str:
        asked.append({"name": fname, "address": origin, **options})
        raise InterruptedError

    monkeypatch.setattr(file_utils, "get_file", get_file)
    published = check_published(backbone)
    with pytest.raises(InterruptedError):
        getattr(keras.applications, published.application)(weights="imagenet", include_top=False)

    assert asked == [
        {
            "name": published.file,
            "address": published.address,
            "cache_subdir": keras_cache().name,
            "file_hash": published.md5,
        }
    ]


def test_they_are_cached_where_keras_caches(monkeypatch: pytest.MonkeyPatch):
    from keras.src.backend import config

    monkeypatch.delenv("KERAS_HOME", raising=False)
    assert keras_cache().parent == Path(config.keras_home())


def test_they_are_downloaded_once(server: Server, tmp_path: Path):
    first = imagenet_weights("efficientnetv2b0", tmp_path)
    again = imagenet_weights("efficientnetv2b0", tmp_path)

    assert first == again == tmp_path / "keras" / "models" / NAME
    assert first.read_bytes() == CONTENT
    assert server.requests == 1


def test_a_damaged_file_in_the_cache_is_replaced(server: Server, tmp_path: Path):
    damaged = tmp_path / "keras" / "models" / NAME
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(CONTENT[:-1])
    said: list[str] = []

    found = imagenet_weights("efficientnetv2b0", tmp_path, said.append)

    assert found.read_bytes() == CONTENT
    assert said == [f"The ImageNet weights {damaged} are damaged, so they are downloaded again."]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"content": b"not the weights"}, "its MD5 differs"),
        ({"refusal": 404}, "404"),
        ({"mute": True}, "no answer within 0.5 s"),
    ],
)
def test_weights_that_cannot_be_had_are_said_and_leave_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], reason: str
):
    monkeypatch.setattr(published_weights, "FIRST_CONTACT", 0.5)
    for name, value in change.items():
        setattr(server, name, value)

    with pytest.raises(UserError, match=rf"cannot be downloaded from http://127.*{reason}.*pass --weights FILE"):
        imagenet_weights("efficientnetv2b0", tmp_path)

    assert not list((tmp_path / "keras").rglob("*.h5*"))


def test_what_is_in_the_image_comes_first_and_must_be_whole(server: Server, tmp_path: Path):
    (tmp_path / NAME).write_bytes(CONTENT)
    assert imagenet_weights("efficientnetv2b0", tmp_path) == tmp_path / NAME
    assert server.requests == 0

    (tmp_path / NAME).write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match="is not the published file"):
        imagenet_weights("efficientnetv2b0", tmp_path)


def test_a_home_that_cannot_be_written_is_no_obstacle(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file" / "keras"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))

    assert imagenet_weights("efficientnetv2b0", tmp_path).read_bytes() == CONTENT
    assert (tmp_path / "temporary" / ".keras" / "models" / NAME).is_file()
