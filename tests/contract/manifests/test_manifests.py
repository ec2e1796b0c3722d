"""The manifests, built by kubectl's kustomize, are what a cluster accepts and a reviewer was told.

Core resources are applied to a real API server in `test_applied.py`. For the CRD-backed ones there is no schema
here: a minimal check, written by hand from the CRDs' documentation, stands in for it.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec

from lesionflow.kubeflow.compile import compile_pipeline
from lesionflow.pipelines.placement import PART_OF
from lesionflow.profile import load_profile

MANIFESTS = Path(__file__).parents[3] / "manifests"
OVERLAYS = ("gke-gpu", "generic", "cpu-only")
CUSTOM = {
    "PodDefault": ("kubeflow.org/v1alpha1", {"desc", "selector", "env", "volumes", "volumeMounts"}),
    "InferenceService": ("serving.kserve.io/v1beta1", {"predictor"}),
    "Pipeline": ("pipelines.kubeflow.org/v2beta1", {"displayName", "description"}),
    "PipelineVersion": (
        "pipelines.kubeflow.org/v2beta1",
        {"displayName", "description", "pipelineName", "pipelineSpec", "platformSpec"},
    ),
}
"""Kinds that exist with their CRD only -> apiVersion, fields of the spec that we use."""
METADATA_SERVERS = {
    "0.0.0.0/0": ["169.254.0.0/16"],
    "::/0": ["fe80::/10", "fd00:ec2::254/128", "fd20:ce::254/128"],
}
"""All addresses -> those among them that give away the node's credentials."""
PINS = {f"lesionflow:{name}": f"registry.example.com/lesionflow@sha256:{'0' * 64}" for name in ("lean", "cpu", "gpu")}

needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl, which has kustomize, is missing")


def _build(folder: Path) -> list[dict]:
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower(), done.stderr  # other warnings are about versions of kubectl
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module")
def built() -> dict[str, list[dict]]:
    return {name: _build(MANIFESTS / "overlays" / name) for name in OVERLAYS}


@pytest.fixture(scope="module")
def everything(tmp_path_factory) -> dict[str, list[dict]]:
    """Every overlay with all that can be added to it, in a namespace that was there before."""
    copy = tmp_path_factory.mktemp("copy") / "manifests"
    shutil.copytree(MANIFESTS, copy)
    compile_pipeline(copy / "components/pipeline/pipeline.yaml", load_profile("gke"), PINS, kubernetes_manifest=True)
    for file in copy.glob("overlays/*/kustomization.yaml"):
        text = file.read_text().replace("# - ../..", "- ../..").replace("namespace: lesionflow", "namespace: team")
        file.write_text(text)
    return {name: _build(copy / "overlays" / name) for name in OVERLAYS}


def _by_kind(resources: list[dict], kind: str) -> dict[str, dict]:
    return {resource["metadata"]["name"]: resource for resource in resources if resource["kind"] == kind}


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_built_overlay_is_the_golden_one(overlay, built, snapshot):
    """After a wanted change: scripts/test --snapshot-update tests/manifests."""
    resources = {f"{resource['kind']} {resource['metadata']['name']}": resource for resource in built[overlay]}

    assert len(resources) == len(built[overlay])
    assert dict(sorted(resources.items())) == snapshot


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_as_it_is_needs_no_crd(overlay, built):
    assert not {resource["kind"] for resource in built[overlay]} & set(CUSTOM)


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_needs_a_crd_can_be_added(overlay, everything):
    custom = {resource["kind"]: resource for resource in everything[overlay] if resource["kind"] in CUSTOM}

    assert set(custom) == set(CUSTOM)
    for kind, resource in custom.items():
        version, fields = CUSTOM[kind]
        assert resource["apiVersion"] == version
        assert resource["metadata"]["namespace"] == "team"
        assert set(resource["spec"]) <= fields, kind
    assert custom["PipelineVersion"]["spec"]["pipelineName"] == custom["Pipeline"]["metadata"]["name"]
    json_format.ParseDict(custom["PipelineVersion"]["spec"]["pipelineSpec"], PipelineSpec())
    json_format.ParseDict(custom["PipelineVersion"]["spec"]["platformSpec"], PlatformSpec())
    _check_pod_default(custom["PodDefault"]["spec"])
    model = custom["InferenceService"]["spec"]["predictor"]["model"]
    assert model["modelFormat"]["name"] == "tensorflow"
    assert model["storageUri"].startswith("gs://" if overlay == "gke-gpu" else "s3://mlpipeline/private/")


def _check_pod_default(spec: dict) -> None:
    """The token is for KFP and where its client looks; that a pod may have it is for `test_applied.py` to say."""
    token = spec["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]
    assert token["audience"] == "pipelines.kubeflow.org"
    assert spec["env"][0]["value"] == f"{spec['volumeMounts'][0]['mountPath']}/{token['path']}"


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_of_an_existing_namespace_is_changed(overlay, everything):
    resources = everything[overlay]

    assert not {resource["kind"] for resource in resources} & {"Namespace", "ResourceQuota", "LimitRange", "ConfigMap"}
    policies = _by_kind(resources, "NetworkPolicy")
    serving = policies.pop("lesionflow-serving")
    assert "serving.kserve.io/inferenceservice" in serving["spec"]["podSelector"]["matchLabels"]
    assert len(policies) == (5 if overlay == "gke-gpu" else 4)
    for policy in policies.values():
        assert policy["spec"]["podSelector"] == {"matchLabels": dict([PART_OF])}
        assert "ingress" not in policy["spec"]
    for binding in [*_by_kind(resources, "RoleBinding").values(), *_by_kind(resources, "ClusterRoleBinding").values()]:
        assert [subject["namespace"] for subject in binding["subjects"]] == ["team"]


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_reads_beyond_the_namespace_is_added_by_hand_and_for_each_namespace(overlay, built, everything):
    assert not {resource["kind"] for resource in built[overlay]} & {"ClusterRole", "ClusterRoleBinding"}
    assert set(_by_kind(everything[overlay], "ClusterRoleBinding")) == {"lesionflow-doctor.team"}


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_stores_secret_is_opened_only_where_it_is_used(overlay, built, everything):
    def readers(resources):
        roles = [*_by_kind(resources, "Role").values(), *_by_kind(resources, "ClusterRole").values()]
        rules = [(role["metadata"]["name"], rule) for role in roles for rule in role["rules"]]
        return {name for name, rule in rules if "secrets" in rule["resources"]}

    assert readers(built[overlay]) == (set() if overlay == "gke-gpu" else {"lesionflow"})
    assert readers(everything[overlay]) == (
        set() if overlay == "gke-gpu" else {"lesionflow", "lesionflow-doctor-store"}
    )
    bindings = _by_kind(everything[overlay], "RoleBinding")
    assert ("lesionflow-doctor-store" in bindings) == (overlay != "gke-gpu")


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_one_line_renames_the_namespace_everywhere(overlay, tmp_path):
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    file = tmp_path / "manifests" / "overlays" / overlay / "kustomization.yaml"
    file.write_text(file.read_text().replace("namespace: lesionflow", "namespace: team"))

    for resource in _build(file.parent):
        assert resource["metadata"].get("namespace") == (None if resource["kind"] == "Namespace" else "team")
        assert resource["kind"] != "Namespace" or resource["metadata"]["name"] == "team"
        assert {subject["namespace"] for subject in resource.get("subjects", [])} <= {"team"}


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_network_is_closed_but_for_what_is_named(overlay, built):
    policies = _by_kind(built[overlay], "NetworkPolicy")

    deny = policies["lesionflow-default-deny"]["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert {name for name, policy in policies.items() if "ingress" in policy["spec"]} == {"lesionflow-ui-artifact"}
    (into_kfps_own,) = policies["lesionflow-ui-artifact"]["spec"]["ingress"]
    assert into_kfps_own["from"]
    assert into_kfps_own["ports"]
    (chosen,) = policies["lesionflow-ui-artifact"]["spec"]["podSelector"]["matchLabels"].values()
    assert chosen == "ml-pipeline-ui-artifact"
    for policy in policies.values():
        for rule in policy["spec"].get("egress", []):
            assert rule["to"], "to anywhere"
            assert rule["ports"], "at any port"
            for peer in rule["to"]:
                if peer.get("ipBlock", {}).get("cidr") in METADATA_SERVERS:
                    assert peer["ipBlock"]["except"] == METADATA_SERVERS[peer["ipBlock"]["cidr"]]
    reached = {peer["ipBlock"]["cidr"] for p in policies.values() for r in p["spec"].get("egress", [])
               for peer in r["to"] if "ipBlock" in peer}  # fmt: skip
    assert reached >= set(METADATA_SERVERS)
    assert ("169.254.169.254/32" in reached) == (overlay == "gke-gpu")


@needs_kubectl
def test_gpus_are_counted_by_the_quota_and_never_given_by_default(built):
    """A LimitRange with a GPU maximum would give each container a GPU, or (on GKE) a toleration for GPU nodes."""
    for overlay, resources in built.items():
        quota = _by_kind(resources, "ResourceQuota")["lesionflow"]["spec"]["hard"]
        assert quota["requests.nvidia.com/gpu"] == ("0" if overlay == "cpu-only" else "2")
        for limit in _by_kind(resources, "LimitRange")["lesionflow"]["spec"]["limits"]:
            assert not any("/" in name for amounts in limit.values() if isinstance(amounts, dict) for name in amounts)


@needs_kubectl
@pytest.mark.parametrize(("overlay", "profile"), [("gke-gpu", "gke"), ("generic", "generic"), ("cpu-only", "cpu-only")])
def test_the_pods_of_a_profile_fit_into_its_overlay(overlay, profile, built):
    from kubernetes.utils.quantity import parse_quantity

    asked = load_profile(profile)
    resources = built[overlay]
    quota = _by_kind(resources, "ResourceQuota")["lesionflow"]["spec"]["hard"]
    limits = _by_kind(resources, "LimitRange")["lesionflow"]["spec"]["limits"][0]
    largest = limits["max"]["memory"]
    for amounts in (quota, limits["max"], limits["default"], limits["defaultRequest"]):
        assert all(parse_quantity(amount) >= 0 for amount in amounts.values())  # the schema takes any text

    assert asked.service_account in _by_kind(resources, "ServiceAccount")
    assert asked.gpus <= int(quota["requests.nvidia.com/gpu"])
    for needs in (asked.training, asked.steps):
        assert parse_quantity(needs.memory_limit) <= parse_quantity(largest)
        assert parse_quantity(needs.cpu_request) <= parse_quantity(quota["requests.cpu"])
    config = _by_kind(resources, "ConfigMap")["kfp-launcher"]["data"]
    root = yaml.safe_load(config["providers"])
    if asked.object_store:
        # What the Secret of a namespace opens in KFP's own store.
        assert config["defaultPipelineRoot"].startswith("s3://mlpipeline/private-artifacts/lesionflow/")
        launcher = root["s3"]["default"]
        assert launcher["endpoint"] == asked.object_store.endpoint
        assert launcher["credentials"]["secretRef"]["secretName"] == asked.object_store.secret
    else:
        assert root == {"gs": {"default": {"credentials": {"fromEnv": True}}}}
