"""The whole pipeline in real containers, through the command."""

import json
import os
from pathlib import Path

import docker
import pytest
from command import RECIPE, Site, lesionflow, summary_of
from seaweedfs import SeaweedFS

from lesionflow import storage
from lesionflow.data.synthetic.dataset import write_synthetic
from lesionflow.registry.verify import verify
from lesionflow.runtime.container_images import local_image
from lesionflow.runtime.files import write_json

DOCKER = ("--runner", "docker")

# One process makes the run that the tests share; whichever test comes first builds the images.
pytestmark = [pytest.mark.xdist_group("containers"), pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site")
    write_synthetic(folder / "data", images=210, size=(100, 75), seed=1)
    write_json(folder / "recipe.json", RECIPE)
    return Site(folder, folder / "data", folder / "recipe.json")


@pytest.fixture(scope="module")
def passed(images: None, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of a run in containers whose gate it passes."""
    output = tmp_path_factory.mktemp("passed")
    result = site.run(output, *DOCKER, "--min-f1", "0.05")
    assert result.returncode == 0, result.stdout + result.stderr
    return output


def test_a_run_in_containers_ends_with_its_verdict_and_a_promoted_model(passed: Path):
    summary = summary_of(passed)

    assert summary["verdict"] == "passed"
    assert {step["status"] for step in summary["steps"].values()} == {"done"}
    assert Path(summary["promoted"], "model.keras").exists()
    assert (passed / "report.html").exists()


def test_the_promoted_version_names_the_image_that_judged_it(passed: Path):
    found = verify(str(passed / "registry"))

    assert found.held, found.checks
    assert found.provenance["image"] == local_image("cpu")


def test_nothing_that_a_task_wrote_belongs_to_root(passed: Path):
    written = [path for path in (passed / "registry").rglob("*") if path.is_file()]

    assert written
    assert all(path.stat().st_uid != 0 for path in written)


def test_results_are_reused_across_runs_in_containers(site: Site, passed: Path):
    result = site.run(passed, *DOCKER, "--min-f1", "0.05")

    assert result.returncode == 0, result.stdout + result.stderr
    steps = summary_of(passed)["steps"]
    assert {steps[name]["status"] for name in ("ingest", "finetune-head", "finetune-full", "evaluate")} == {"reused"}


def test_data_and_registry_may_live_in_a_bucket(
    docker_engine: docker.DockerClient, site: Site, seaweedfs: SeaweedFS, tmp_path: Path
):
    if docker_engine.networks.list(names=["bridge"]):
        pytest.skip("this Docker's containers do not share the machine's network, so they cannot reach the test's S3")
    storage.upload_folder(site.data, "s3://bucket/ham10000")
    recipe = json.loads(site.recipe.read_text())
    for phase in ("head", "partial", "full"):
        recipe[phase]["epochs"] = 1
    write_json(tmp_path / "recipe.json", recipe)

    elsewhere = Site(site.folder, "s3://bucket/ham10000", tmp_path / "recipe.json")
    result = elsewhere.run(tmp_path / "out", *DOCKER, "--registry", "s3://bucket/registry", "--min-f1", "0.001")

    assert result.returncode == 0, result.stdout + result.stderr
    champion = json.loads(storage.read_bytes("s3://bucket/registry/champion.json"))["version"]
    assert storage.exists(f"s3://bucket/registry/versions/{champion}/model.keras")


@pytest.mark.timeout(600)
def test_a_failing_gate_in_a_container_ends_with_exit_code_3_twenty_times_of_twenty(site: Site, passed: Path):
    codes = [site.run(passed, *DOCKER, "--min-f1", "0.9999").returncode for _ in range(20)]

    assert codes == [3] * 20


def test_a_task_killed_for_memory_is_a_failure_that_says_so(images: None, site: Site, tmp_path: Path):
    result = site.run(tmp_path / "out", *DOCKER, "--memory", "300m")

    assert result.returncode == 1
    assert "needed more memory than its limit of 300m" in " ".join(result.stdout.split())


def test_bad_input_in_a_container_is_one_sentence_and_exit_code_2(images: None, site: Site, tmp_path: Path):
    (tmp_path / "data").mkdir()
    result = Site(site.folder, tmp_path / "data", site.recipe).run(tmp_path / "out", *DOCKER)

    assert result.returncode == 2
    assert "Traceback" not in result.stdout + result.stderr


def test_without_images_of_the_present_code_the_run_says_how_to_build_them(images: None, site: Site, tmp_path: Path):
    result = site.run(tmp_path / "out", *DOCKER, "--gpus", "1")  # the gpu image is never built for tests

    assert result.returncode == 2
    assert "make images" in result.stderr


def test_without_docker_the_run_says_so(site: Site, tmp_path: Path):
    environment = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    result = lesionflow(*site.arguments(tmp_path / "out", *DOCKER), cwd=site.folder, env=environment)

    assert result.returncode == 2
    assert "Docker does not answer" in result.stderr
