"""A user's machine before a cluster: the stand-in API server, pinned images, and the command itself."""

from collections.abc import Callable, Generator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fake_kube import FakeKube
from in_process import TOKEN, Command, forget_machine, run_here
from kfp_api import strict
from kfp_api.server import KfpApiServer

from lesionflow.kubeflow import submission
from lesionflow.kubeflow.runs import follow, logs, run_reader
from lesionflow.runtime import container_images as images
from lesionflow.runtime.container_image import CPU_IMAGE, GPU_IMAGE, LEAN_IMAGE


@pytest.fixture(autouse=True)
def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but a test's own, no kubeconfig, and no time lost."""
    forget_machine(tmp_path, monkeypatch, 80)
    monkeypatch.setattr(follow, "PERIOD", 0.01)
    monkeypatch.setattr(follow, "TICK", 0.002)
    monkeypatch.setattr(logs, "PERIOD", 0.002)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Generator[KfpApiServer]:
    """The stand-in, which lets this user in."""
    with KfpApiServer(token=TOKEN) as server:
        monkeypatch.setenv("KF_PIPELINES_ENDPOINT", server.url)
        monkeypatch.setenv("KFP_EXISTING_TOKEN", TOKEN)
        yield server


@pytest.fixture
def with_kube(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeKube], FakeKube]:
    """Let Kubernetes tell of the run what a test says."""

    def use(kube: FakeKube) -> FakeKube:
        monkeypatch.setattr(run_reader, "KubeRuns", lambda _: kube)
        return kube

    return use


@pytest.fixture
def lesionflow(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command, called with its arguments."""
    return lambda *arguments: run_here(arguments, capsys, monkeypatch)


@pytest.fixture(scope="session")
def _compiled() -> dict[str, str]:
    return {}


@pytest.fixture(autouse=True, scope="session")
def _packages_parsed_once() -> Generator[None]:
    """The stand-in parses each upload, and most are the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict, "package", cache(strict.package))
        yield


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _compiled: dict[str, str]) -> None:
    """Images that were built and pushed. What was compiled once is kept: each time takes a second."""
    names = (LEAN_IMAGE, CPU_IMAGE, GPU_IMAGE)
    pins = {name: f"example.com/{name.replace(':', '-')}@sha256:{index:064x}" for index, name in enumerate(names)}
    monkeypatch.setattr(images, "PINS_FILE", tmp_path / "digests.json")
    images.write_pins(pins)
    compile_pipeline = submission.compile_pipeline

    def compile_once(output: Path, profile: Any, pins: Any, kubernetes_manifest: bool, folds: int | None) -> list[str]:
        key = repr((profile, pins, folds))
        if key not in _compiled:
            assert compile_pipeline(output, profile, pins, kubernetes_manifest, folds) == []
            _compiled[key] = output.read_text()
        output.write_text(_compiled[key])
        return []

    monkeypatch.setattr(submission, "compile_pipeline", compile_once)
