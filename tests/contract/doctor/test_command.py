"""`lesionflow doctor` as a user types it."""

from pathlib import Path

import pytest
from command import lesionflow
from kfp_api.server import KfpApiServer
from kube_api.objects import node
from kube_api.server import KubeApiServer
from registry_server import Registry


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """80 columns, and no settings but those of the test."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("KF_PIPELINES_ENDPOINT", "KFP_NAMESPACE", "KFP_EXISTING_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("settings")
def test_a_cross_with_its_mend_and_exit_code_1(kube: KubeApiServer, gcs: str, tmp_path: Path) -> None:
    kube.remove("nodes", "gpu-1")
    kube.denied.add("list limitranges")
    with KfpApiServer() as api:
        ended = lesionflow(
            "doctor", "--endpoint", api.url, "--namespace", "team-a",
            "--pipeline-root", f"gs://{gcs}/root", "--registry", str(tmp_path), cwd=tmp_path,
        )  # fmt: skip
    lines = [line.rstrip() for line in ended.stdout.splitlines()]
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr == ""
    assert all(len(line) <= 80 for line in lines)
    assert "✓  namespace           team-a" in lines
    assert "✗  nodes               no node offers nvidia.com/gpu" in lines
    assert "                       → add nodes with it and its device plugin, or use" in lines
    assert "?  limits              could not be checked: limitranges is forbidden: User" in lines
    assert "·  data                skipped: give it with --data" in lines
    assert any(line.startswith("✗  registry") for line in lines)
    assert lines[-1].endswith("1 could not be checked, 2 skipped.")


@pytest.mark.usefixtures("settings")
def test_without_a_cross_exit_code_0(
    kube: KubeApiServer, image_registry: Registry, gcs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from lesionflow.cli.main import app

    digest = "sha256:" + "a" * 64
    pins = {f"lesionflow:{name}": f"{image_registry.host}/lesionflow/{name}@{digest}" for name in ("lean", "cpu")}
    monkeypatch.setattr("lesionflow.runtime.container_images.read_pins", lambda: pins)
    kube.add("nodes", node("cpu-2"))
    with KfpApiServer() as api:
        ended = CliRunner().invoke(
            app,
            [
                "doctor",
                "--profile",
                "cpu-only",
                "--endpoint",
                api.url,
                "--namespace",
                "team-a",
                "--pipeline-root",
                f"gs://{gcs}/root",
                "--registry",
                f"gs://{gcs}/models",
            ],
        )
    assert ended.exit_code == 0, ended.output
    assert ended.output.splitlines()[-1] == "14 fine, 2 skipped."


@pytest.mark.usefixtures("settings")
def test_a_profile_that_does_not_exist_is_bad_usage(tmp_path: Path) -> None:
    ended = lesionflow("doctor", "--profile", "no-such", cwd=tmp_path)
    assert ended.returncode == 2
    assert "There is no cluster profile 'no-such'" in ended.stderr
    assert ended.stdout == ""
