"""Fixtures that tests of several steps share."""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM
from hypothesis import HealthCheck, settings
from kube_api.cluster import running
from PIL import Image
from s3_server import S3Server
from seaweedfs import SeaweedFS

# As `keras_backend.prepare` sets it, which comes too late where a test module imports Keras: its bits would
# not be those of a process of its own.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# A test does not fail because the machine is busy.
settings.register_profile("lesionflow", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lesionflow")


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
def _seaweedfs() -> Generator[SeaweedFS]:
    """The object store of Kubeflow Pipelines itself; its bucket `started` is there from the start."""
    with SeaweedFS() as store:
        yield store


@pytest.fixture
def seaweedfs(_seaweedfs: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> SeaweedFS:
    """That store with an empty bucket named `bucket`, behind s3:// for as long as the test runs."""
    _seaweedfs.empty_bucket("bucket")
    for name, value in _seaweedfs.environment.items():
        monkeypatch.setenv(name, value)
    return _seaweedfs


@pytest.fixture
def team_a(seaweedfs: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    """The address of KFP's bucket, with the credentials that KFP gives to the namespace `team-a`."""
    from lesionflow.storage import s3_connection as s3

    seaweedfs.empty_bucket("mlpipeline")
    for name, value in seaweedfs.namespace_credentials("team-a").items():
        monkeypatch.setenv(name, value)
    s3._client.cache_clear()
    yield "s3://mlpipeline"
    s3._client.cache_clear()


@pytest.fixture
def s3_server(seaweedfs: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> Generator[S3Server]:
    """The same behind a door that a test can close, or bend."""
    with S3Server(seaweedfs) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        yield server


@pytest.fixture(scope="session")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    """The administrator's kubeconfig of a real Kubernetes; see `kube_api.server` for what a test does with it."""
    with running(tmp_path_factory.mktemp("kubernetes") / "cluster") as kubeconfig:
        yield kubeconfig


MARKS = {"kubernetes": "slow", "images": "docker", "real_data": "data"}
"""Fixture -> marker of every test that uses it."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups, and before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by what they use. One worker has the cluster: nodes are everybody's, so two tests at once would see
    each other's."""
    for item in items:
        used = getattr(item, "fixturenames", ())
        for fixture, mark in MARKS.items():
            if fixture in used:
                item.add_marker(mark)
        if "end_to_end" in item.path.parts or "docker" in item.keywords:
            item.add_marker("slow")
        if "kubernetes" in used:
            item.add_marker(pytest.mark.xdist_group("kubernetes"))
        if "browser" in item.keywords and CHROMIUM is None:
            item.add_marker(pytest.mark.skip("no Chromium on this machine; CI installs it"))


@pytest.fixture(params=["gs", "s3"])
def bucket(request: pytest.FixtureRequest) -> str:
    """The address of an empty bucket, of each kind in turn."""
    return _bucket(request)


@pytest.fixture(params=["local", "gs", "s3"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty place, of each kind in turn."""
    return str(tmp_path / "anywhere") if request.param == "local" else f"{_bucket(request)}/some/prefix"


def _bucket(request: pytest.FixtureRequest) -> str:
    request.getfixturevalue({"gs": "gcs", "s3": "seaweedfs"}[request.param])
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
