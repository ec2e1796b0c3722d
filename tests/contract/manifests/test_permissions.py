"""Each permission is asked for by name, is used, and is explained to a reviewer in docs/manifests.md."""

import re
from pathlib import Path

import pytest
import yaml
from documented import DOCUMENT, documented
from recordings import KFP

from lesionflow.kubeflow.kube.permissions import PERMISSIONS, Who

ROOT = Path(__file__).parents[3]
ROLES = {
    role["metadata"]["name"]: role
    for file in ROOT.glob("manifests/**/*.yaml")
    for role in yaml.safe_load_all(file.read_text())
    if role and role.get("kind") in ("Role", "ClusterRole")
}


def _granted(role: str) -> set[tuple[str, str, str, str]]:
    """(group, resource, object or empty for all, verb) of everything that a role allows."""
    return {
        (group, resource, name, verb)
        for rule in ROLES[role]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }


def _used(*who: Who, cluster_wide: bool = False, opt_in: bool = False) -> set[tuple[str, str, str, str]]:
    return {
        (each.group, each.resource, each.name, each.verb)
        for each in PERMISSIONS
        if each.who in who and each.cluster_wide == cluster_wide and each.opt_in == opt_in
    }


def test_no_role_allows_more_than_it_names():
    assert len(ROLES) == 5
    for name, role in ROLES.items():
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], name
            if set(rule["resources"]) & {"secrets", "configmaps", "services/proxy"}:
                assert rule["resourceNames"], name
            dangerous = {"escalate", "bind", "impersonate", "deletecollection"}
            assert not dangerous & set(rule["verbs"]), name
            assert not {"pods/exec", "pods/attach", "serviceaccounts/token"} & set(rule["resources"]), name
            if "pods" in rule["resources"]:
                assert rule["verbs"] == (["get"] if name == "lesionflow" else ["list"]), name


def test_the_pipelines_pods_may_do_what_kfp_and_argo_need_and_no_more():
    assert _granted("lesionflow") == _used(Who.PIPELINE)


def test_who_submits_may_do_what_the_command_needs_and_no_more():
    assert _granted("lesionflow-submitter") == _used(Who.USER, Who.EXAMINER)


def test_who_submits_may_also_stop():
    """A real server refused it, and said what it had asked Kubernetes."""
    said = (KFP / "api" / "terminate-forbidden.http").read_text()
    asked = dict(re.findall(r"(Verb|Group|Resource):([\w.]+)", said))

    assert (asked["Group"], asked["Resource"], "", asked["Verb"]) in _granted("lesionflow-submitter")


def test_the_doctor_asks_the_cluster_what_its_role_allows_and_no_more():
    assert _granted("lesionflow-doctor") == _used(Who.EXAMINER, cluster_wide=True, opt_in=True)


def test_the_doctor_opens_the_stores_secret_in_this_namespace_only_and_where_it_was_wanted():
    assert ROLES["lesionflow-doctor-store"]["kind"] == "Role"
    assert _granted("lesionflow-doctor-store") == _used(Who.EXAMINER, opt_in=True)


@pytest.mark.parametrize("role", ROLES)
def test_the_reviewers_table_is_the_role(role):
    assert documented(role) == _granted(role)


def test_the_document_explains_every_manifest():
    text = DOCUMENT.read_text()
    for file in ROOT.glob("manifests/**/*.yaml"):
        assert f"`{file.relative_to(ROOT / 'manifests')}`" in text or file.name == "kustomization.yaml", file
    for folder in {file.parent.relative_to(ROOT / "manifests") for file in ROOT.glob("manifests/**/*.yaml")}:
        assert f"`{folder}/" in text, folder
