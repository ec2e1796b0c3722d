"""The compiled pipeline is what a cluster expects."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec
from typer.testing import CliRunner

from lesionflow.cli.main import app
from lesionflow.kubeflow.compile import compile_pipeline
from lesionflow.pipelines.cross_validation import BEFORE
from lesionflow.pipelines.placement import HOME
from lesionflow.profile import PROFILES, load_profile
from lesionflow.runtime import container_images as images

PINS = {
    f"lesionflow:{name}": f"registry.example.com/team/lesionflow@sha256:{digit * 64}"
    for name, digit in (("lean", "a"), ("cpu", "c"), ("gpu", "e"))
}
"""Digests of no image."""
FINETUNE = {"exec-finetune", "exec-finetune-2", "exec-finetune-3"}
IMAGES = dict.fromkeys(FINETUNE, "gpu") | dict.fromkeys(("exec-evaluate", "exec-export"), "cpu")
"""All others run in the lean image."""


def _documents(path: Path) -> tuple[dict, dict]:
    """Parsed as the backend does: unknown fields are refused."""
    spec, platform = yaml.safe_load_all(path.read_text())
    json_format.ParseDict(spec, PipelineSpec())
    json_format.ParseDict(platform, PlatformSpec())
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for config in executors.values():
        json_format.ParseDict(config, KubernetesExecutorConfig())
    return spec, platform["platforms"]["kubernetes"]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """The pipeline compiled for each built-in profile."""
    folder = tmp_path_factory.mktemp("compiled")
    for profile in PROFILES:
        assert compile_pipeline(folder / profile, load_profile(profile), PINS, kubernetes_manifest=False) == []
    return {profile: folder / profile for profile in PROFILES}


@pytest.fixture(params=PROFILES)
def compiled(request, files) -> tuple[str, dict, dict]:
    """A profile's name and what it compiles to: executors of the spec, of the platform."""
    spec, platform = _documents(files[request.param])
    return request.param, spec["deploymentSpec"]["executors"], platform["deploymentSpec"]["executors"]


def test_every_image_is_pinned_and_each_step_runs_in_its_own(compiled):
    profile, executors, _ = compiled
    for name, executor in executors.items():
        image = IMAGES.get(name, "lean")
        expected = "cpu" if (profile, image) == ("cpu-only", "gpu") else image
        assert executor["container"]["image"] == PINS[f"lesionflow:{expected}"], name


def test_only_the_finetune_tasks_request_and_tolerate_gpu_nodes(compiled):
    profile, executors, configs = compiled
    finetune = set() if profile == "cpu-only" else FINETUNE
    gpu = {"resourceType": "nvidia.com/gpu", "resourceCount": "1"}
    tolerated = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]

    asked = {name: e["container"]["resources"].get("accelerator") for name, e in executors.items()}

    for name in executors:
        accelerator = asked[name] and {key: asked[name][key] for key in gpu}
        assert accelerator == (gpu if name in finetune else None), name
        assert configs[name].get("tolerations", []) == (tolerated if name in finetune else []), name


def test_only_the_gke_profile_selects_nodes(compiled):
    profile, _, configs = compiled
    selected = {name: config["nodeSelector"]["labels"] for name, config in configs.items() if "nodeSelector" in config}

    label = {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    assert selected == (dict.fromkeys(FINETUNE, label) if profile == "gke" else {})


def test_every_task_is_limited_unprivileged_and_labelled(compiled):
    _, executors, configs = compiled
    for name, executor in executors.items():
        resources = executor["container"]["resources"]
        assert resources.keys() >= {"resourceCpuRequest", "resourceMemoryRequest", "resourceMemoryLimit"}, name
        assert int(configs[name]["activeDeadlineSeconds"]) > 0, name
        assert configs[name]["securityContext"] == {"runAsNonRoot": True, "runAsUser": "10001"}, name
        assert {"/tmp", HOME} <= {mount["mountPath"] for mount in configs[name]["emptyDirMounts"]}, name
        assert configs[name]["podMetadata"]["labels"] == {"app.kubernetes.io/part-of": "lesionflow"}, name


def test_the_home_that_is_made_writable_is_the_images():
    assert f"HOME={HOME}" in (Path(__file__).parents[3] / "images" / "Dockerfile").read_text().split()


def test_finetune_tasks_have_shared_memory_and_go_on_after_preemption(compiled, files):
    profile, _, configs = compiled
    spec, platform = _documents(files[profile])
    run = platform["pipelineConfig"]

    for name, task in spec["root"]["dag"]["tasks"].items():
        mounts = {mount["mountPath"]: mount for mount in configs[f"exec-{name}"]["emptyDirMounts"]}
        assert ("/dev/shm" in mounts) == ("retryPolicy" in task) == name.startswith("finetune"), name
        if "retryPolicy" in task:
            assert mounts["/dev/shm"]["medium"] == "Memory"
            # Argo retries nothing once this is over, counted from the first attempt's start.
            assert task["retryPolicy"]["backoffMaxDuration"] == f"{run['activeDeadlineSeconds']}s"


def test_a_run_ends_and_is_cleaned_up(files):
    """A pod that fits no node is Pending for ever otherwise (kfp#13401)."""
    runs = {profile: _documents(file)[1]["pipelineConfig"] for profile, file in files.items()}

    assert {profile: run["activeDeadlineSeconds"] for profile, run in runs.items()} == {
        "generic": 86400,
        "gke": 86400,
        "cpu-only": 345600,
    }
    assert {run["resourceTtlOnCompletion"] for run in runs.values()} == {604800}


def test_it_names_the_secret_of_the_object_store_and_holds_none(files):
    value = re.compile(r"(?i)passw|token|bearer|private.?key|AKIA[0-9A-Z]{16}|ya29\.|-----BEGIN|eyJ[\w-]{8}")
    for profile, file in files.items():
        text = file.read_text()
        assert not value.findall(text)
        spec, platform = _documents(file)
        for name, config in platform["deploymentSpec"]["executors"].items():
            variables = {e["name"] for e in spec["deploymentSpec"]["executors"][name]["container"].get("env", [])}
            secrets = [secret["secretName"] for secret in config.get("secretAsEnv", [])]
            of_store = set() if profile == "gke" else {"AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION"}
            assert variables == {"LESIONFLOW_IMAGE"} | of_store, name
            assert secrets == ([] if profile == "gke" else ["mlpipeline-minio-artifact"]), name


def test_the_steps_whose_answer_may_change_by_itself_are_never_cached(files):
    spec, _ = _documents(files["gke"])
    tasks = spec["root"]["dag"]["tasks"]

    uncached = {name for name, task in tasks.items() if not task.get("cachingOptions", {}).get("enableCache")}

    assert uncached == {"preflight", "fingerprint", "promote"}


def test_export_and_promotion_wait_for_the_gate(files):
    spec, _ = _documents(files["gke"])

    tasks = spec["root"]["dag"]["tasks"]
    assert "gate" in tasks["export"]["dependentTasks"]
    assert {"gate", "export"} <= set(tasks["promote"]["dependentTasks"])
    assert not any("gate" in json.dumps(tasks[task]["inputs"]) for task in ("export", "promote"))


def test_nothing_costly_begins_before_the_preflight(files):
    spec, _ = _documents(files["gke"])

    tasks = spec["root"]["dag"]["tasks"]
    assert {name for name, task in tasks.items() if not task.get("dependentTasks")} == {"preflight", "fingerprint"}
    assert set(tasks["ingest"]["dependentTasks"]) == {"preflight", "fingerprint"}


def test_compiling_twice_gives_the_same_bytes(files, tmp_path):
    compile_pipeline(tmp_path / "again.yaml", load_profile("gke"), PINS, kubernetes_manifest=False)

    assert (tmp_path / "again.yaml").read_bytes() == files["gke"].read_bytes()


def test_spot_nodes_are_selected_and_tolerated_by_finetune_tasks_only(tmp_path):
    (tmp_path / "spot.yaml").write_text("extends: gke\nspot: true\n")

    compile_pipeline(tmp_path / "p.yaml", load_profile(str(tmp_path / "spot.yaml")), PINS, kubernetes_manifest=False)
    configs = _documents(tmp_path / "p.yaml")[1]["deploymentSpec"]["executors"]

    toleration = {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"}
    for name, config in configs.items():
        on_spot = config.get("nodeSelector", {}).get("labels", {}).get("cloud.google.com/gke-spot") == "true"
        assert on_spot == (toleration in config.get("tolerations", [])) == (name in FINETUNE), name


def test_the_manifest_names_its_version_by_content(tmp_path):
    """A PipelineVersion cannot be changed once it is there."""
    compile_pipeline(tmp_path / "one.yaml", load_profile("gke"), PINS, kubernetes_manifest=True)
    compile_pipeline(tmp_path / "same.yaml", load_profile("gke"), PINS, kubernetes_manifest=True)
    compile_pipeline(tmp_path / "other.yaml", load_profile("generic"), PINS, kubernetes_manifest=True)

    pipeline, version = yaml.safe_load_all((tmp_path / "one.yaml").read_text())
    _, other = yaml.safe_load_all((tmp_path / "other.yaml").read_text())
    assert (tmp_path / "one.yaml").read_bytes() == (tmp_path / "same.yaml").read_bytes()
    assert (pipeline["kind"], version["kind"]) == ("Pipeline", "PipelineVersion")
    assert version["spec"]["pipelineName"] == pipeline["metadata"]["name"] == "lesionflow-training-gke"
    assert re.fullmatch(r"lesionflow-training-gke-[0-9a-f]{12}", version["metadata"]["name"])
    assert version["metadata"]["name"] != other["metadata"]["name"]
    assert other["spec"]["pipelineName"] == "lesionflow-training-generic"
    json_format.ParseDict(version["spec"]["pipelineSpec"], PipelineSpec())
    json_format.ParseDict(version["spec"]["platformSpec"], PlatformSpec())


def test_the_command_warns_of_images_that_are_not_pinned(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "PINS_FILE", tmp_path / "digests.json")
    command = ["compile", "-o", str(tmp_path / "p.yaml"), "--profile", "cpu-only"]

    unpinned = CliRunner().invoke(app, command)
    images.write_pins(PINS)
    (tmp_path / "digests.json").rename(tmp_path / "pins.json")
    pinned = CliRunner().invoke(app, [*command, "--images", str(tmp_path / "pins.json")])

    assert unpinned.exit_code == pinned.exit_code == 0
    assert unpinned.output.splitlines()[1:] == [
        "Not pinned by digest: lesionflow:cpu, lesionflow:lean; "
        "build and push this code with 'make images REPOSITORY=...'."
    ]
    assert len(pinned.output.splitlines()) == 1


def test_what_runs_in_the_lean_image_does_not_need_keras():
    steps = ("preflight", "fingerprint", "ingest", "duplicates", "split", "balance", "gate", "promote", "pool")
    program = "import sys\nsys.modules.update(dict.fromkeys(('keras', 'tensorflow')))\n"
    program += "".join(f"import lesionflow.components.{step}.{step}\n" for step in steps)

    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.fixture(scope="module")
def folded(tmp_path_factory) -> Path:
    """The cross-validation pipeline of five folds, for GKE."""
    file = tmp_path_factory.mktemp("folded") / "cv.yaml"
    assert compile_pipeline(file, load_profile("gke"), PINS, kubernetes_manifest=False, folds=5) == []
    return file


def test_the_tasks_of_a_fold_ask_for_what_the_training_pipelines_do(folded, files):
    spec, platform = _documents(folded)
    plain, on_cluster = _documents(files["gke"])
    loop = spec["components"]["comp-for-loop-2"]["dag"]["tasks"]
    tasks = plain["root"]["dag"]["tasks"]
    executors, configs = (d["deploymentSpec"]["executors"] for d in (spec, platform))
    assert loop.keys() == tasks.keys() - {*BEFORE, "preflight", "gate", "export", "promote"}
    for task in loop:
        name = f"exec-{task}"
        assert executors[name]["container"] == plain["deploymentSpec"]["executors"][name]["container"]
        assert configs[name] == on_cluster["deploymentSpec"]["executors"][name]
    # Five times as long as one training may take, if there is a GPU for one fold only.
    assert platform["pipelineConfig"]["activeDeadlineSeconds"] == 5 * 86400


def test_folds_run_at_a_time_as_the_profile_says(tmp_path):
    (tmp_path / "profile.yaml").write_text("extends: gke\nparallel_folds: 2\n")
    compile_pipeline(tmp_path / "p.yaml", load_profile(str(tmp_path / "profile.yaml")), PINS, False, folds=3)
    task = _documents(tmp_path / "p.yaml")[0]["root"]["dag"]["tasks"]["for-loop-2"]

    assert task["iteratorPolicy"] == {"parallelismLimit": 2}
    assert task["parameterIterator"]["items"] == {"raw": "[0, 1, 2]"}
