"""Namespace, ServiceAccount, permissions, quota and limits: each cross and its hint, over real HTTP."""

from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from kfp_api.server import KfpApiServer
from kube_api.cluster import Refused
from kube_api.objects import limit_range, pod, quota
from kube_api.server import KubeApiServer

from lesionflow.kubeflow.client import connection
from lesionflow.kubeflow.client.settings import ClusterSettings
from lesionflow.kubeflow.doctor import cluster_checks, permission_checks
from lesionflow.kubeflow.doctor.findings import Finding, Status
from lesionflow.kubeflow.doctor.node_check import demands
from lesionflow.kubeflow.doctor.subject import Subject
from lesionflow.kubeflow.kube.permissions import KFP, PERMISSIONS, Who, who_grants
from lesionflow.profile import load_profile

Find = Callable[..., Finding]


def test_a_cluster_on_which_everything_is_right(kube: KubeApiServer, find: Find) -> None:
    for check in (
        cluster_checks.api,
        cluster_checks.namespace,
        cluster_checks.service_account,
        permission_checks.own_permissions,
        permission_checks.account_permissions,
        cluster_checks.resource_quota,
        cluster_checks.limit_ranges,
    ):
        finding = find(check)
        assert (finding.status, finding.hint) == (Status.FINE, ""), (check, finding)


def test_the_version_is_told(kube: KubeApiServer, find: Find) -> None:
    assert find(cluster_checks.api).what == f"{kube.url} answers, v1.36.3"


def test_an_api_that_is_down_is_a_cross_and_not_an_exception(
    kube: KubeApiServer, find: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig(tmp_path, host="http://127.0.0.1:9")))
    finding = find(cluster_checks.api)
    assert finding.status is Status.CROSS
    assert "127.0.0.1:9 does not answer" in finding.what
    assert "network" in finding.hint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "There is no kubeconfig"),
        ("{", "cannot be used"),
        ("apiVersion: v1\nkind: Config\n", "cannot be used"),
        ("just words", "cannot be used"),
    ],
)
def test_no_usable_kubeconfig(
    content: str | None, words: str, find: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kubeconfig"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("KUBECONFIG", str(file))
    finding = find(cluster_checks.api)
    assert (finding.status, words in finding.what) == (Status.CROSS, True), finding
    assert "KUBECONFIG" in finding.hint


def test_refused_credentials(kube: KubeApiServer, find: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig(tmp_path, token="a-secret-that-expired")))
    finding = find(cluster_checks.api)
    assert (finding.status, finding.hint) == (Status.CROSS, "log in to the cluster again")
    assert "a-secret" not in finding.what


def test_a_server_with_a_fault(
    kube: KubeApiServer, find: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of Kubernetes: a healthy one has none."""

    class Broken(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(500)

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Broken) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        host = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig(tmp_path, host=host)))
        finding = find(cluster_checks.namespace)
        server.shutdown()
    assert (finding.status, "answers 500" in finding.what) == (Status.CROSS, True)


def test_no_namespace(kube: KubeApiServer, find: Find) -> None:
    finding = find(cluster_checks.namespace, namespace="team-z")
    assert finding.status is Status.CROSS
    assert "kubectl create namespace team-z" in finding.hint


def test_who_knows_one_namespace_only_does_not_know_that_another_is_not_there(kube: KubeApiServer, find: Find) -> None:
    kube.denied.add("get namespaces *")
    assert find(cluster_checks.namespace, namespace="team-z").status is Status.UNCHECKED


def test_a_namespace_that_is_going(kube: KubeApiServer, find: Find) -> None:
    name = f"team-{uuid4().hex[:8]}"
    kube.add("configmaps", {"metadata": {"name": "held", "namespace": name, "finalizers": ["example.com/held"]}})
    kube.admin.ask("DELETE", kube.admin.path("namespaces", None, name))
    finding = find(cluster_checks.namespace, namespace=name)
    kube.admin.merge(kube.admin.path("configmaps", name, "held"), {"metadata": {"finalizers": None}})
    assert (finding.status, finding.what) == (Status.CROSS, f"{name} is being deleted")


def test_no_service_account(kube: KubeApiServer, find: Find) -> None:
    finding = find(cluster_checks.service_account, service_account="somebody")
    assert (finding.status, finding.what) == (Status.CROSS, "there is no somebody")
    assert "--service-account" in finding.hint


@pytest.mark.parametrize("permission", ["list pods", "list events", "get pods/log", "list workflows"])
def test_each_permission_that_this_user_lacks_is_named(kube: KubeApiServer, find: Find, permission: str) -> None:
    kube.denied.add(permission)
    finding = find(permission_checks.own_permissions)
    assert (finding.status, permission in finding.what) == (Status.CROSS, True), finding
    assert finding.what.count(",") == 0
    assert "Role lesionflow-submitter" in finding.hint


@pytest.fixture
def several_users(monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    """The address of a Kubeflow Pipelines that asks Kubernetes what its callers may do."""
    healthy = {"multi_user": True}
    with KfpApiServer() as api:
        route = api.route
        monkeypatch.setattr(api, "route", lambda *given: healthy if "healthz" in given[1] else route(*given))
        yield api.url


@pytest.mark.parametrize("permission", ["terminate runs", "create pipelines", "enable jobs", "get experiments"])
def test_each_permission_in_kubeflow_that_this_user_lacks_is_named(
    kube: KubeApiServer, find: Find, several_users: str, permission: str
) -> None:
    assert find(permission_checks.kubeflow_permissions, endpoint=several_users).status is Status.FINE
    kube.denied.add(permission)
    finding = find(permission_checks.kubeflow_permissions, endpoint=several_users)
    assert (finding.status, finding.what) == (Status.CROSS, f"lacks {permission}.pipelines.kubeflow.org")
    assert "Role lesionflow-submitter" in finding.hint


def test_who_signs_in_with_a_name_is_asked_for_by_that_name(
    kube: KubeApiServer, several_users: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubeflow's gateway passes on the name; the kubeconfig may be another person's."""
    connected = connection.connect(ClusterSettings(endpoint=several_users, namespace="team-a"))
    monkeypatch.setattr(permission_checks, "connect", lambda _: connected)
    kube.denied.add("terminate runs")
    of_kubeflow = [one for one in PERMISSIONS if one.group == KFP and one.verb != "terminate"]
    rules = [{"apiGroups": [KFP], "resources": [one.resource], "verbs": [one.verb]} for one in of_kubeflow]
    jane = {"kind": "User", "name": "jane@example.com"}
    kube.allow(*rules, to=jane)
    settings = ClusterSettings(endpoint=several_users, namespace="team-a", dex_username="jane@example.com")
    subject = Subject(settings, load_profile("generic"), "lesionflow", {})
    assert permission_checks.kubeflow_permissions(subject).status is Status.CROSS
    kube.allow({"apiGroups": [KFP], "resources": ["runs"], "verbs": ["terminate"]}, to=jane)
    assert permission_checks.kubeflow_permissions(subject).status is Status.FINE


def test_with_a_single_user_kubeflow_asks_nobody(kube: KubeApiServer, find: Find) -> None:
    kube.denied.add("terminate runs")
    with KfpApiServer() as api:
        finding = find(permission_checks.kubeflow_permissions, endpoint=api.url)
    assert finding.status is Status.FINE


@pytest.mark.parametrize(
    ("permission", "told"),
    [
        ("create workflowtaskresults", "create workflowtaskresults.argoproj.io"),
        ("patch workflowtaskresults", "patch workflowtaskresults.argoproj.io"),
        ("get configmaps", "get configmaps kfp-launcher"),
        ("get pods", "get pods"),
    ],
)
def test_each_permission_that_the_account_lacks_is_named(
    kube: KubeApiServer, find: Find, permission: str, told: str
) -> None:
    kube.account_denied.add(permission)
    finding = find(permission_checks.account_permissions)
    assert (finding.status, finding.what) == (Status.CROSS, f"lacks {told}")
    assert "kubectl apply -k" in finding.hint


def test_the_secret_of_the_object_store_is_asked_for(kube: KubeApiServer, find: Find, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("{extends: generic, object_store: {endpoint: 'https://s3.example.com', secret: our-store}}")
    finding = find(permission_checks.account_permissions, profile=str(own))
    assert (finding.status, finding.what) == (Status.CROSS, "lacks get secrets our-store")
    kube.account_denied.add("get secrets")
    for profile, secret in (("generic", "mlpipeline-minio-artifact"), (str(own), "our-store")):
        finding = find(permission_checks.account_permissions, profile=profile)
        assert (finding.status, finding.what) == (Status.CROSS, f"lacks get secrets {secret}")


def test_without_an_object_store_its_secret_is_not_asked_for(kube: KubeApiServer, find: Find) -> None:
    kube.account_denied.add("get secrets")
    assert find(permission_checks.account_permissions, profile="gke").status is Status.FINE


@pytest.mark.parametrize(
    ("check", "permission"),
    [
        (cluster_checks.namespace, "get namespaces"),
        (cluster_checks.service_account, "get serviceaccounts"),
        (permission_checks.account_permissions, "create subjectaccessreviews"),
        (cluster_checks.resource_quota, "list resourcequotas"),
        (cluster_checks.limit_ranges, "list limitranges"),
    ],
)
def test_what_this_user_may_not_ask_is_neither_tick_nor_cross(
    kube: KubeApiServer, find: Find, check: Callable[..., Finding], permission: str
) -> None:
    kube.denied.add(permission)
    finding = find(check)
    assert finding.status is Status.UNCHECKED
    assert finding.what.startswith("could not be checked: ")
    assert "forbidden" in finding.what
    granted = "components/doctor" if "subjectaccessreviews" in permission else "Role lesionflow-submitter"
    assert granted in finding.hint


def test_every_permission_that_is_refused_has_who_grants_it() -> None:
    for one in PERMISSIONS:
        scope = "at the cluster scope" if one.cluster_wide else 'in the namespace "team-a"'
        said = (
            f'x is forbidden: User "u" cannot {one.verb} resource "{one.resource}" in API group "{one.group}" {scope}'
        )
        if one.who is not Who.PIPELINE:
            assert ("components/doctor" in who_grants(said)) == one.opt_in, one
    assert who_grants("the server is on fire") == ""


ROOMY = {"requests.cpu": "100", "requests.memory": "1Ti", "requests.nvidia.com/gpu": "4", "pods": "50"}
STATED = {"cpu": "1", "memory": "1Gi"}
FOUR_GPUS = {"requests": STATED, "limits": {**STATED, "nvidia.com/gpu": "4"}}


@pytest.mark.parametrize(
    ("given", "in_use", "status", "words"),
    [
        (quota("team", ROOMY), None, Status.FINE, "team: enough left"),
        (
            quota("team", {**ROOMY, "requests.nvidia.com/gpu": "0"}),
            None,
            Status.CROSS,
            "0 of 0 requests.nvidia.com/gpu left",
        ),
        (quota("team", {"requests.cpu": "3"}), None, Status.CROSS, "3 of 3 requests.cpu left, 4 needed"),
        (quota("team", {"memory": "8Gi"}), None, Status.CROSS, "8Gi of 8Gi memory left, 16Gi needed"),
        (quota("team", {"limits.memory": "15Gi"}), None, Status.CROSS, "15Gi of 15Gi limits.memory left, 16Gi needed"),
        (quota("team", ROOMY), FOUR_GPUS, Status.BUSY, "0 of 4 requests.nvidia.com/gpu left"),
        (quota("team", {**ROOMY, "pods": "1"}), {"requests": STATED}, Status.BUSY, "0 of 1 pods left, 1 needed"),
        (quota("team", {"count/pods": "1"}), {}, Status.BUSY, "0 of 1 count/pods left"),
        (quota("team", {"limits.cpu": "100"}), None, Status.CROSS, "must state limits.cpu"),
        (quota("team", {"pods": "0"}, scopes=["BestEffort"]), None, Status.UNCHECKED, "some pods only"),
        (quota("team", {"persistentvolumeclaims": "0"}), None, Status.FINE, "enough"),
    ],
)
def test_quota(
    kube: KubeApiServer, find: Find, given: dict[str, Any], in_use: dict[str, Any] | None, status: Status, words: str
) -> None:
    kube.add("resourcequotas", quota("other", {"pods": "1000"}), given)
    if in_use is not None:
        kube.add("pods", pod("first", **in_use))
    finding = find(cluster_checks.resource_quota)
    assert (finding.status, words in finding.what) == (status, True), finding
    assert bool(finding.hint) == (status in (Status.CROSS, Status.BUSY))


@pytest.mark.parametrize(
    "given", [quota("team", {"requests.cpu": "3"}), quota("team", {"limits.cpu": "100"}), quota("team", {"pods": "0"})]
)
def test_a_quota_with_a_cross_does_refuse_the_pod(kube: KubeApiServer, find: Find, given: dict[str, Any]) -> None:
    """Kubernetes itself has the last word on what the check foretells."""
    kube.add("resourcequotas", given)
    assert find(cluster_checks.resource_quota).status is Status.CROSS
    with pytest.raises(Refused, match=r"403 .*quota: team"):
        kube.add("pods", *each_task())


def test_quota_without_gpus_is_enough_where_none_is_asked_for(kube: KubeApiServer, find: Find) -> None:
    kube.add("resourcequotas", quota("team", {**ROOMY, "requests.nvidia.com/gpu": "0"}))
    assert find(cluster_checks.resource_quota, profile="cpu-only").status is Status.FINE


def test_defaults_of_a_limit_range_state_what_a_quota_wants(kube: KubeApiServer, find: Find) -> None:
    kube.add("resourcequotas", quota("team", {"limits.cpu": "100"}))
    kube.add("limitranges", limit_range("defaults", default={"cpu": "8"}, defaultRequest={"cpu": "1"}))
    assert find(cluster_checks.resource_quota).status is Status.FINE


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"max": {"memory": "8Gi"}}, "asks for 16Gi memory, at most 8Gi are allowed"),
        ({"type": "Pod", "max": {"cpu": "64"}}, "states no limit of cpu, which must be at most 64"),
        ({"max": {"nvidia.com/gpu": "0"}}, "asks for 1 nvidia.com/gpu, at most 0"),
        ({"min": {"memory": "64Gi"}}, "asks for 16Gi memory, at least 64Gi are required"),
        ({"type": "Pod", "min": {"ephemeral-storage": "1Gi"}}, "states no request of ephemeral-storage"),
        ({"default": {"cpu": "500m"}}, "asks for 4 cpu, more than its default limit of 0.5"),
        ({"maxLimitRequestRatio": {"cpu": "2"}}, "must state both request and limit of cpu"),
        ({"maxLimitRequestRatio": {"memory": "1.5"}}, "limit of memory more than 1.5 times its request"),
        ({"type": "Pod", "max": {"memory": "12Gi"}}, "at most 12Gi"),
    ],
)
def test_limits_that_would_refuse_a_pod(kube: KubeApiServer, find: Find, item: dict[str, object], words: str) -> None:
    """And Kubernetes does refuse it."""
    kube.add("limitranges", limit_range("strict", **item))
    finding = find(cluster_checks.limit_ranges)
    assert (finding.status, words in finding.what) == (Status.CROSS, True), finding
    assert "LimitRange" in finding.hint
    with pytest.raises(Refused, match=r"403|422"):
        kube.add("pods", *each_task())


def each_task() -> list[dict[str, Any]]:
    """A pod for each kind of task, with what it asks for."""
    asked = demands(load_profile("generic")).values()
    amounts = [[{name: str(some[name]) for name in some} for some in (one.requests, one.limits)] for one in asked]
    return [pod(f"task-{i}", requests=requests, limits=limits) for i, (requests, limits) in enumerate(amounts)]


def test_limits_within_which_every_task_is(kube: KubeApiServer, find: Find) -> None:
    kube.add("limitranges", limit_range("wide", default={"cpu": "16"}, max={"cpu": "16", "memory": "64Gi"}))
    kube.add("limitranges", limit_range("volumes", type="PersistentVolumeClaim", max={"storage": "1Gi"}))
    assert find(cluster_checks.limit_ranges).status is Status.FINE
    kube.add("pods", *each_task())


def test_what_the_api_server_makes_of_a_limit_without_a_default_is_a_default(kube: KubeApiServer, find: Find) -> None:
    """So a container that states none is within."""
    kube.add("limitranges", limit_range("bounds", max={"cpu": "64"}, min={"ephemeral-storage": "1Gi"}))
    assert find(cluster_checks.limit_ranges).status is Status.FINE
    kube.add("pods", *each_task())
