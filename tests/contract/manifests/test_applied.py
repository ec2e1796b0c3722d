"""The manifests on a real API server: applied as the document says, and granting what its tables say, no more."""

import shutil
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from documented import documented
from kube_api.cluster import Administrator, Refused, eventually
from kube_api.objects import pod
from kube_api.permissions import Permission, allows
from kube_api.server import KubeApiServer
from recordings import recorded

from lesionflow.kubeflow.kube.permissions import PERMISSIONS, Who

MANIFESTS = Path(__file__).parents[3] / "manifests"
OVERLAYS = ("gke-gpu", "generic", "cpu-only")
SUBMITTER, PIPELINE = "lesionflow-submitter", "lesionflow"
Kubectl = Callable[..., str]


@pytest.fixture
def kubectl(kubernetes: Path) -> Kubectl:
    """kubectl as the administrator; it may not warn of anything."""

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(["kubectl", "--kubeconfig", kubernetes, *arguments], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    return run


@pytest.fixture
def admin(kubernetes: Path) -> Administrator:
    return Administrator(kubernetes)


@pytest.fixture
def space(admin: Administrator) -> Generator[str]:
    """The name of a namespace that is not there yet, and will not be there for long."""
    name = f"space-{uuid4().hex[:8]}"
    yield name
    admin.ask("DELETE", admin.path("namespaces", None, name))


def overlay(folder: Path, name: str, namespace: str, *components: str) -> Path:
    """A copy of an overlay as a user edits it: another namespace, and some components more."""
    shutil.copytree(MANIFESTS, folder / "manifests", dirs_exist_ok=True)
    file = folder / "manifests" / "overlays" / name / "kustomization.yaml"
    text = file.read_text().replace("namespace: lesionflow", f"namespace: {namespace}")
    for component in components:
        assert f"# - ../../components/{component}" in text
        text = text.replace(f"# - ../../components/{component}", f"- ../../components/{component}")
    file.write_text(text)
    return file.parent


def outcomes(applied: str) -> set[str]:
    """What kubectl says of each object: created, unchanged, serverside-applied."""
    return {line.rsplit(" ", 1)[1] for line in applied.splitlines()}


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_is_applied_and_a_second_time_changes_nothing(
    kubectl: Kubectl, space: str, name: str, tmp_path: Path
) -> None:
    folder = overlay(tmp_path, name, space)
    assert outcomes(kubectl("apply", "-k", folder)) == {"created"}
    assert outcomes(kubectl("apply", "-k", folder)) == {"unchanged"}
    assert kubectl("diff", "-k", folder) == ""


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_is_applied_by_the_server_and_a_second_time_changes_nothing(
    kubectl: Kubectl, space: str, name: str, tmp_path: Path
) -> None:
    """As Argo CD and Flux do it, with the component `doctor` too."""
    folder = overlay(tmp_path, name, space, "doctor")
    apply = ("apply", "--server-side", "--force-conflicts", "-k", folder)
    assert outcomes(kubectl(*apply)) == {"serverside-applied"}
    each = "jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.managedFields[0].time}{'\\n'}{end}"
    before = kubectl("get", "--show-managed-fields", "-k", folder, "-o", each)
    kubectl(*apply)
    assert kubectl("get", "--show-managed-fields", "-k", folder, "-o", each) == before
    assert kubectl("diff", "--server-side", "-k", folder) == ""


def test_nothing_of_an_existing_namespace_is_changed(
    kubectl: Kubectl, admin: Administrator, space: str, tmp_path: Path
) -> None:
    mine = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space, "labels": {"owner": "somebody"}}}
    path = admin.path("namespaces", None, space)
    before = admin.apply(path, mine)["metadata"]
    kubectl("apply", "-k", overlay(tmp_path, "generic", space, "existing-namespace"))
    assert admin.ask("GET", path)["metadata"] == before
    for kind in ("resourcequotas", "limitranges", "configmaps"):
        assert admin.ask("GET", admin.path(kind, space))["items"] == []
    assert admin.ask("GET", admin.path("serviceaccounts", space, PIPELINE))


def test_access_by_a_kubeconfig_is_to_kfp_alone(kubectl: Kubectl, admin: Administrator) -> None:
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kubeflow"}}
    admin.apply(admin.path("namespaces", None, "kubeflow"), space)
    kubectl("apply", "-k", MANIFESTS / "kubeconfig-access")

    def may(verb: str, name: str, resource: str = "services/proxy", where: str = "kubeflow") -> bool:
        return allows(admin, "somebody", ("", resource, name, verb), where, ["lesionflow-submitters"])

    assert [verb for verb in ("get", "create", "delete", "update", "patch") if may(verb, "ml-pipeline:http")] == [
        "get",
        "create",
        "delete",
    ]
    assert not may("get", "another:http")
    assert not may("get", "ml-pipeline:http", where="team-a")
    assert not may("get", "ml-pipeline:http", "services")
    assert not may("list", "", "pods")


def test_what_a_pod_default_injects_is_part_of_a_pod(
    applied: Callable[[str], str], admin: Administrator, space: str
) -> None:
    spec = yaml.safe_load((MANIFESTS / "components" / "api-token" / "pod-default.yaml").read_text())["spec"]
    one = pod(namespace=space)
    one["spec"]["containers"][0] |= {"env": spec["env"], "volumeMounts": spec["volumeMounts"]}
    one["spec"]["volumes"] = spec["volumes"]
    made = admin.ask("POST", applied("generic"), one, fieldValidation="Strict")
    assert spec["volumes"][0]["name"] in [volume["name"] for volume in made["spec"]["volumes"]]


@pytest.fixture(scope="module")
def granted(kubernetes: Path) -> KubeApiServer:
    """The overlay `generic` with the component `doctor` in the namespace team-a."""
    with KubeApiServer(kubernetes) as kube:
        return kube


def user(account: str) -> str:
    return f"system:serviceaccount:team-a:{account}"


def asked(permission: Any) -> Permission:
    return permission.group, permission.resource, permission.name, permission.verb


@pytest.mark.parametrize("permission", PERMISSIONS, ids=lambda one: f"{one.who} {one}")
def test_the_cluster_lets_them_do_what_the_product_asks_for(granted: KubeApiServer, permission: Any) -> None:
    account = PIPELINE if permission.who is Who.PIPELINE else SUBMITTER
    where = "" if permission.cluster_wide else "team-a"
    assert allows(granted.admin, user(account), asked(permission), where)


@pytest.mark.parametrize("account", [SUBMITTER, PIPELINE])
def test_the_cluster_lets_them_do_nothing_else(granted: KubeApiServer, account: str) -> None:
    """Every verb on everything that the document's tables or the cluster itself know."""
    here, everywhere = documented(account), set[Permission]()
    if account == SUBMITTER:
        here |= documented("lesionflow-doctor-store")
        everywhere = documented("lesionflow-doctor")
    resources = {("", one["name"]) for one in granted.admin.ask("GET", f"{granted.url}/api/v1")["resources"]}
    for group, version in (("batch", "v1"), ("rbac.authorization.k8s.io", "v1"), ("argoproj.io", "v1alpha1")):
        listed = granted.admin.ask("GET", f"{granted.url}/apis/{group}/{version}")["resources"]
        resources |= {(group, one["name"]) for one in listed}
    resources |= {each[:2] for each in here | everywhere}  # Kubeflow's are no objects of the cluster
    of_objects = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
    verbs = (*of_objects, "terminate", "retry", "archive", "unarchive", "enable", "disable")
    extra = [("", "serviceaccounts", "", "impersonate"), ("rbac.authorization.k8s.io", "roles", "", "escalate")]
    every = [(group, resource, "", verb) for group, resource in sorted(resources) for verb in verbs] + extra
    for where, expected in (("team-a", here | everywhere), ("", everywhere), ("team-b", everywhere)):
        allowed = {each for each in every if allows(granted.admin, user(account), each, where)}
        assert allowed == {each for each in expected if each in set(every)}, where


def test_secrets_and_configuration_are_open_by_name_only(granted: KubeApiServer) -> None:
    for account, resource, name in (
        (PIPELINE, "secrets", "mlpipeline-minio-artifact"),
        (PIPELINE, "configmaps", "kfp-launcher"),
        (SUBMITTER, "configmaps", "kfp-launcher"),
    ):
        assert allows(granted.admin, user(account), ("", resource, name, "get"), "team-a")
        assert not allows(granted.admin, user(account), ("", resource, "another", "get"), "team-a")
        assert not allows(granted.admin, user(account), ("", resource, name, "get"), "team-b")


RECORDED = recorded("kubernetes/pods.json.gz")["items"]


def as_argo_makes_it(one: dict[str, Any], namespace: str) -> dict[str, Any]:
    """A recorded pod before the API server and the scheduler filled in what is theirs."""
    spec = {
        k: v for k, v in one["spec"].items() if k not in ("nodeName", "priority", "preemptionPolicy", "tolerations")
    }
    tokens = {volume["name"] for volume in spec["volumes"] if volume["name"].startswith("kube-api-access-")}
    spec["volumes"] = [volume for volume in spec["volumes"] if volume["name"] not in tokens]
    for container in [*spec["containers"], *spec["initContainers"]]:
        container["volumeMounts"] = [m for m in container["volumeMounts"] if m["name"] not in tokens]
    kept = {k: one["metadata"][k] for k in ("name", "labels", "annotations")}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {**kept, "namespace": namespace}, "spec": spec}


@pytest.fixture
def applied(kubectl: Kubectl, admin: Administrator, space: str, tmp_path: Path) -> Callable[[str], str]:
    """Apply an overlay; returns the path of its namespace's pods once its quota is enforced."""

    def apply(name: str) -> str:
        kubectl("apply", "-k", overlay(tmp_path, name, space))
        quota = admin.path("resourcequotas", space, "lesionflow")
        eventually(lambda: admin.ask("GET", quota).get("status", {}).get("hard"))
        return admin.path("pods", space)

    return apply


@pytest.mark.parametrize("one", RECORDED, ids=lambda one: one["metadata"]["name"].rpartition("-")[2])
def test_a_pod_as_kfp_makes_it_is_admitted(
    applied: Callable[[str], str], admin: Administrator, space: str, one: dict[str, Any]
) -> None:
    """By the quota, the default limits and the pod security that the namespace enforces."""
    made = admin.ask("POST", applied("generic"), as_argo_makes_it(one, space))
    assert made["spec"]["serviceAccountName"] == PIPELINE


@pytest.mark.parametrize(
    ("name", "gpus", "words"),
    [("generic", 2, ""), ("generic", 3, "exceeded quota: lesionflow"), ("cpu-only", 1, "exceeded quota: lesionflow")],
)
def test_the_quota_counts_gpus(
    applied: Callable[[str], str], admin: Administrator, space: str, name: str, gpus: int, words: str
) -> None:
    amounts = {"cpu": "4", "memory": "16Gi"}
    one = pod(namespace=space, requests=amounts, limits={"memory": "16Gi", "nvidia.com/gpu": str(gpus)})
    pods = applied(name)
    if words:
        with pytest.raises(Refused, match=words):
            admin.ask("POST", pods, one)
    else:
        made = admin.ask("POST", pods, one)
        assert made["spec"]["containers"][0]["resources"]["requests"]["nvidia.com/gpu"] == str(gpus)


def test_a_container_that_says_nothing_gets_limits_and_no_gpu(
    applied: Callable[[str], str], admin: Administrator, space: str
) -> None:
    made = admin.ask("POST", applied("generic"), pod(namespace=space))
    resources = made["spec"]["containers"][0]["resources"]
    assert set(resources["requests"]) == {"cpu", "memory"}
    assert "nvidia.com/gpu" not in resources["limits"]


def test_a_privileged_pod_is_refused(applied: Callable[[str], str], admin: Administrator, space: str) -> None:
    one = pod(namespace=space)
    one["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    with pytest.raises(Refused, match='violates PodSecurity "baseline'):
        admin.ask("POST", applied("generic"), one)
