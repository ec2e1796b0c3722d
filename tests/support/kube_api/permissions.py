"""What the manifests grant, in the real cluster, less what a test takes away."""

import shutil
import subprocess
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from kube_api.cluster import Administrator, eventually

MANIFESTS = Path(__file__).parents[3] / "manifests"
_KINDS = {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ServiceAccount"}
Permission = tuple[str, str, str, str]
"""Group, resource, name or empty, verb."""


@cache
def of_the_manifests(namespace: str) -> list[dict[str, Any]]:
    """Accounts, roles and bindings of the overlay `generic` with the component `doctor`, in a namespace."""
    with TemporaryDirectory() as folder:
        shutil.copytree(MANIFESTS, Path(folder) / "manifests")
        file = Path(folder) / "manifests" / "overlays" / "generic" / "kustomization.yaml"
        text = file.read_text().replace("# - ../../components/doctor", "- ../../components/doctor")
        file.write_text(text.replace("namespace: lesionflow", f"namespace: {namespace}"))
        done = subprocess.run(["kubectl", "kustomize", file.parent], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one["kind"] in _KINDS]


def expanded(role: dict[str, Any]) -> Iterable[Permission]:
    """Each permission of a role by itself."""
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", [""]):
                    yield from ((group, resource, name, verb) for verb in rule["verbs"])


def grant(admin: Administrator, namespace: str, denied: Collection[str], denied_to_account: Collection[str]) -> None:
    """Give the accounts of the manifests what these say, and wait until the API server knows it.

    Args:
        admin: who grants.
        namespace: of the accounts.
        denied: what the submitter may not do: `list pods`, or `list pods *` for what reaches beyond the namespace.
        denied_to_account: what the pipeline's pods may not do.
    """
    expected: dict[tuple[str, str, Permission], bool] = {}
    for given in of_the_manifests(namespace):
        one = dict(given)
        if "rules" in one:
            everywhere = one["kind"] == "ClusterRole"
            account = "lesionflow" if one["metadata"]["name"] == "lesionflow" else "lesionflow-submitter"
            taken = denied_to_account if account == "lesionflow" else denied
            kept = list(expanded(one))
            if taken:
                kept = [each for each in kept if not _among(each, taken, everywhere)]
            one["rules"] = [_rule(*each) for each in kept]
            for each in expanded(given):
                key = account, "" if everywhere else namespace, each
                expected[key] = each in kept
        plural = f"{one['kind'].lower()}s"
        admin.apply(admin.path(plural, one["metadata"].get("namespace"), one["metadata"]["name"]), one)
    # What is allowed everywhere is allowed in the namespace too.
    wider = {(account, each) for (account, where, each), allowed in expected.items() if not where and allowed}
    for (account, where, each), allowed in expected.items():
        wanted = allowed or (account, each) in wider
        user = f"system:serviceaccount:{namespace}:{account}"
        eventually(lambda: allows(admin, user, each, where) == wanted)  # noqa: B023 called at once


def allows(
    admin: Administrator, user: str, permission: Permission, namespace: str, groups: Collection[str] = ()
) -> bool:
    """Whether the cluster lets somebody do something; in all namespaces if none is given."""
    group, resource, name, verb = permission
    main, _, sub = resource.partition("/")
    asked = {"group": group, "resource": main, "subresource": sub, "name": name, "verb": verb, "namespace": namespace}
    spec = {"user": user, "groups": ["system:authenticated", *groups], "resourceAttributes": asked}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    answer = admin.ask("POST", f"{admin.url}/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return answer["status"]["allowed"]


def _among(permission: Permission, denied: Collection[str], everywhere: bool) -> bool:
    _, resource, _, verb = permission
    return f"{verb} {resource}" in denied or (everywhere and f"{verb} {resource} *" in denied)


def _rule(group: str, resource: str, name: str, verb: str) -> dict[str, Any]:
    names = {"resourceNames": [name]} if name else {}
    return {"apiGroups": [group], "resources": [resource], "verbs": [verb], **names}
