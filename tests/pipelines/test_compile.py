"""The compiled pipeline is what a cluster expects."""

import json
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

from pipelines.compile import compile_pipeline

FINETUNE = {"exec-finetune", "exec-finetune-2", "exec-finetune-3"}


def _documents(path: Path) -> tuple[dict, dict]:
    spec, platform = yaml.safe_load_all(path.read_text())
    return spec, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    path = tmp_path_factory.mktemp("compiled") / "lesionflow.yaml"
    compile_pipeline(path, "gpu", kubernetes_manifest=False)
    return path


def test_both_documents_parse_strictly(compiled):
    spec, executors = _documents(compiled)

    json_format.ParseDict(spec, PipelineSpec())
    for config in executors.values():
        json_format.ParseDict(config, KubernetesExecutorConfig())


def test_the_three_finetune_tasks_and_no_others_request_and_tolerate_gpu_nodes(compiled):
    spec, executors = _documents(compiled)
    requesting = {
        name
        for name, executor in spec["deploymentSpec"]["executors"].items()
        if "accelerator" in executor["container"].get("resources", {})
    }
    tolerating = {name for name, config in executors.items() if "tolerations" in config}

    assert requesting == FINETUNE
    assert tolerating == FINETUNE


def test_the_cpu_only_profile_requests_no_gpu(tmp_path):
    compile_pipeline(tmp_path / "p.yaml", "cpu-only", kubernetes_manifest=False)

    assert "nvidia" not in (tmp_path / "p.yaml").read_text()


def test_the_steps_whose_answer_may_change_by_itself_are_never_cached(compiled):
    spec, _ = _documents(compiled)
    tasks = spec["root"]["dag"]["tasks"]

    uncached = {name for name, task in tasks.items() if not task.get("cachingOptions", {}).get("enableCache")}

    assert uncached == {"fingerprint", "gate", "promote"}


def test_promotion_waits_for_the_gate(compiled):
    spec, _ = _documents(compiled)

    assert "gate" in spec["root"]["dag"]["tasks"]["promote"]["dependentTasks"]


def test_compiling_twice_gives_the_same_bytes(compiled, tmp_path):
    compile_pipeline(tmp_path / "again.yaml", "gpu", kubernetes_manifest=False)

    assert (tmp_path / "again.yaml").read_bytes() == compiled.read_bytes()


def test_the_kubernetes_manifest_holds_a_pipeline_and_its_version(tmp_path):
    compile_pipeline(tmp_path / "manifest.yaml", "gpu", kubernetes_manifest=True)

    kinds = [document["kind"] for document in yaml.safe_load_all((tmp_path / "manifest.yaml").read_text())]

    assert sorted(kinds) == ["Pipeline", "PipelineVersion"]


@pytest.mark.parametrize("profile", ["gpu", "cpu-only"])
def test_the_compiled_pipeline_is_the_golden_one(profile, tmp_path, snapshot):
    """After a wanted change: scripts/test --snapshot-update tests/pipelines/test_compile.py."""
    compile_pipeline(tmp_path / "p.yaml", profile, kubernetes_manifest=False)
    spec, executors = _documents(tmp_path / "p.yaml")
    for executor in spec["deploymentSpec"]["executors"].values():
        executor["container"]["command"] = ["(the adapter's source)"]  # else every comment would be a diff

    assert json.dumps([spec, executors], indent=1, sort_keys=True) == snapshot
