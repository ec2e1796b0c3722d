"""Fixtures that tests of several rooms share."""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from s3_server import S3Server

# As `keras_backend.prepare` sets it, which comes too late where a test module imports Keras: its bits would
# not be those of a process of its own.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


@pytest.fixture(scope="session")
def _emulator() -> Generator[Any]:
    """An object-store emulator that answers over HTTP on loopback."""
    from gcp_storage_emulator.server import create_server

    server = create_server("127.0.0.1", 0, in_memory=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def gcs(_emulator: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an empty bucket, behind gs:// for as long as the test runs."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    port = _emulator._api._httpd.server_address[1]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    _emulator.wipe()
    storage.Client(project="emulator", credentials=AnonymousCredentials()).create_bucket("bucket")
    return "bucket"


@pytest.fixture(scope="session")
def _s3_server() -> Generator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def s3_server(_s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """An S3 server with an empty bucket named `bucket`, behind s3:// for as long as the test runs."""
    import boto3

    _s3_server.wipe()
    environment = {
        "AWS_ENDPOINT_URL_S3": _s3_server.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    boto3.Session().client("s3").create_bucket(Bucket="bucket")
    return _s3_server


@pytest.fixture(params=["gs", "s3"])
def bucket(request: pytest.FixtureRequest) -> str:
    """The address of an empty bucket, of each kind in turn."""
    return _bucket(request)


@pytest.fixture(params=["local", "gs", "s3"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty place, of each kind in turn."""
    return str(tmp_path / "anywhere") if request.param == "local" else f"{_bucket(request)}/some/prefix"


def _bucket(request: pytest.FixtureRequest) -> str:
    request.getfixturevalue({"gs": "gcs", "s3": "s3_server"}[request.param])
    return f"{request.param}://bucket"


@pytest.fixture
def small_source(tmp_path: Path) -> Path:
    """A folder to change at will: 40 loose JPEGs of 60x45 pixels, of 30 lesions, with their metadata as CSV."""
    folder = tmp_path / "source"
    folder.mkdir()
    labels = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    lines = ["lesion_id,image_id,dx,dx_type,age,sex,localization"]
    for index in range(40):
        lesion, label = index % 30, labels[index % 30 % 7]
        colour = (40 + 5 * index, 200 - 4 * index, 90 + 3 * lesion)
        image = Image.linear_gradient("L").resize((60, 45)).convert("RGB")
        image.paste(colour, (index, 5, index + 15, 30))
        image.save(folder / f"ISIC_{index:07d}.jpg", quality=90)
        lines.append(f"HAM_{lesion:07d},ISIC_{index:07d},{label},histo,{40 + lesion}.0,female,back")
    (folder / "HAM10000_metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def real_data() -> Path:
    """The folder that holds `ham10000-200x150/` and `weights/`; without it the test is skipped."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("LESIONFLOW_DATA", beside))
    if not (folder / "ham10000-200x150").is_dir():
        pytest.skip(f"no real data at {folder}; set LESIONFLOW_DATA to the folder that holds ham10000-200x150")
    return folder


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI everything a test needs is there, so a skipped test is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("CI") and skipped:
        reporter.write_line(f"CI must not skip tests; {len(skipped)} were:", red=True)
        for report in skipped:
            reporter.write_line(f"  {report.nodeid}: {report.longrepr[2]}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
