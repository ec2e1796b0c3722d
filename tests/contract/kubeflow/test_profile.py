"""A cluster profile is built in, or a YAML file; what is wrong in one is said in one sentence."""

import gzip
import re
from pathlib import Path

import pytest
from recordings import KFP, recorded

from lesionflow.errors import UserError
from lesionflow.profile import LOCAL, PROFILES, Toleration, load_profile

GPU = Toleration(key="nvidia.com/gpu", effect="NoSchedule")


@pytest.fixture
def profile_file(tmp_path: Path):
    def write(text: str) -> str:
        path = tmp_path / "profile.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_the_gke_profile_selects_the_accelerator_and_tolerates_its_nodes():
    profile = load_profile("gke")

    assert profile.node_selector == {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    assert profile.tolerations == (GPU,)


def test_the_generic_profile_takes_any_node_with_a_gpu():
    profile = load_profile("generic")

    assert (profile.gpus, profile.node_selector, profile.tolerations) == (1, {}, (GPU,))


@pytest.mark.parametrize("name", ["generic", "cpu-only"])
def test_s3_leads_to_the_store_where_kfps_own_pods_archive_their_logs(name):
    pods = gzip.decompress((KFP / "kubernetes" / "pods.json.gz").read_bytes()).decode()
    archives = set(re.findall(r'archiveLogs.{,10}s3.{,10}endpoint[\\":]+([\w.-]+):(\d+)', pods))
    (argument,) = (
        artifact["metadata"]["store_session_info"]
        for artifact in _artifacts(recorded("executor-input/gate.json"))
        if "store_session_info" in artifact["metadata"]
    )
    store = load_profile(name).object_store

    assert store is not None
    host, _, port = store.endpoint.removeprefix("http://").partition(":")
    assert {(f"{host}.svc.cluster.local", port)} == archives
    for said in (store.endpoint, store.secret, store.region):
        assert f'"{said}"' in argument


def _artifacts(executor_input: dict) -> list[dict]:
    return [one for each in executor_input["inputs"]["artifacts"].values() for one in each["artifacts"]]


def test_without_gpus_nothing_of_gpu_nodes_is_left(profile_file):
    assert load_profile("cpu-only").tolerations == ()
    on_gke = load_profile(profile_file("extends: gke\ngpus: 0\n"))

    assert (on_gke.node_selector, on_gke.tolerations) == ({}, ())


def test_a_file_changes_a_built_in_profile_field_by_field(profile_file):
    profile = load_profile(
        profile_file(
            """
            extends: gke
            accelerator: nvidia-tesla-t4
            spot: true
            node_selector: {pool: training}
            tolerations: [{key: dedicated, operator: Equal, value: research}]
            training: {cpu_request: 6, retries: 5}
            image_pull_secrets: [registry]
            """
        )
    )

    assert profile.node_selector == {
        "cloud.google.com/gke-accelerator": "nvidia-tesla-t4",
        "cloud.google.com/gke-spot": "true",
        "pool": "training",
    }
    assert [t.key for t in profile.tolerations] == ["nvidia.com/gpu", "dedicated", "cloud.google.com/gke-spot"]
    assert (profile.training.cpu_request, profile.training.retries) == ("6", 5)
    assert profile.training.memory_limit == load_profile("gke").training.memory_limit
    assert profile.steps == load_profile("gke").steps


def test_null_takes_a_built_in_setting_away(profile_file):
    profile = load_profile(profile_file("extends: generic\nobject_store: null\ntraining: {memory_limit: null}\n"))

    assert profile.object_store is None
    assert profile.training.memory_limit is None


def test_another_accelerator_has_another_resource_and_taint(profile_file):
    profile = load_profile(profile_file("extends: generic\ngpu_resource: amd.com/gpu\n"))

    assert [t.key for t in profile.tolerations] == ["amd.com/gpu"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpu: 1", "gpu: there is no such field"),
        ("gpus: -1", "gpus: Input should be greater than or equal to 0, received -1"),
        ("extends: gcp", "extends 'gcp'; expected one of generic, gke, cpu-only"),
        ("training: {memory_limit: 16GiB}", "training.memory_limit"),
        ("training: {memory_request: 2Gi, memory_limit: 1Gi}", "memory_request 2Gi is more than memory_limit 1Gi"),
        ("extends: gke\ntraining: {memory_limit: 8Gi}", "memory_request 16Gi is more than memory_limit 8Gi"),
        ("accelerator: nvidia-l4", "an accelerator needs the accelerator_label"),
        ("extends: generic\nspot: true", "spot needs the spot_node_selector"),
        ("tolerations: [{key: a, value: b}]", "operator Equal needs a value"),
        ("tolerations: [{key: a, effect: NoScedule}]", "tolerations.0.effect"),
        ("run_as_user: 0", "run_as_user: Input should be greater than 0"),
        ("just words", "must be `field: value` lines, received 'just words'"),
        ("a: [", "is not valid YAML"),
        ("name: gke", "has the name of the built-in profile gke; choose another `name`"),
        ("name: Two Words", "name: "),
    ],
)
def test_a_mistake_in_a_file_is_explained_in_one_sentence(text, said, profile_file):
    with pytest.raises(UserError) as raised:
        load_profile(profile_file(text))

    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["gpu", "no/such/file.yaml", "."])
def test_an_unknown_profile_is_refused_with_those_there_are(name):
    with pytest.raises(UserError, match="expected one of generic, gke, cpu-only, or a YAML file"):
        load_profile(name)


@pytest.mark.parametrize(
    ("file", "content", "name"),
    [
        ("t4.yaml", "extends: gke", "t4"),
        ("Our GPUs (2026).yml", "gpus: 2", "our-gpus-2026"),
        ("gke.yaml", "extends: gke", "own-gke"),
        ("gke.yaml", "{extends: gke, name: t4}", "t4"),
        ("名.yaml", "gpus: 1", "unnamed"),
    ],
)
def test_a_profile_is_called_as_its_file_and_never_as_a_built_in_one(tmp_path, file, content, name):
    (tmp_path / file).write_text(content)
    assert load_profile(str(tmp_path / file)).name == name
    assert {each: load_profile(each).name for each in PROFILES} == {each: each for each in PROFILES}


def test_a_local_run_asks_for_nothing_and_retries_nothing():
    assert (LOCAL.gpus, LOCAL.training, LOCAL.steps) == (0, type(LOCAL.steps)(), type(LOCAL.steps)())
