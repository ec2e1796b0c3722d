"""What the Kubernetes API tells of the namespace: its account, quota and limits."""

from collections.abc import Sequence
from typing import Any

from lesionflow.kubeflow.doctor import findings
from lesionflow.kubeflow.doctor.findings import Finding
from lesionflow.kubeflow.doctor.node_check import demands
from lesionflow.kubeflow.doctor.subject import Subject
from lesionflow.kubeflow.kube import quota
from lesionflow.kubeflow.kube.cluster_access import Missing, call_kubernetes

MANIFESTS = "apply the manifests: kubectl apply -k manifests/overlays/generic (or the overlay of your cluster)"
"""The hint on what they would have made."""


def api(subject: Subject) -> Finding:
    """The Kubernetes API answers."""
    from kubernetes.client import VersionApi

    version = call_kubernetes(VersionApi(subject.api_client).get_code).git_version
    return findings.fine(f"{subject.api_client.configuration.host} answers, {version}")


def namespace(subject: Subject) -> Finding:
    """The namespace exists."""
    name = subject.namespace
    try:
        found = call_kubernetes(subject.core.read_namespace, name)
    except Missing:
        return findings.cross(f"there is no {name}", f"create it: kubectl create namespace {name}; or {MANIFESTS}")
    if found.status and found.status.phase == "Terminating":
        return findings.cross(f"{name} is being deleted", "choose another with --namespace, or create it anew")
    return findings.fine(name)


def service_account(subject: Subject) -> Finding:
    """The pods' ServiceAccount exists."""
    name = subject.service_account
    try:
        call_kubernetes(subject.core.read_namespaced_service_account, name, subject.namespace)
    except Missing:
        return findings.cross(f"there is no {name}", f"{MANIFESTS}, or name another with --service-account")
    return findings.fine(name)


def resource_quota(subject: Subject) -> Finding:
    """The namespace's quota admits the pods, now."""
    quotas: Sequence[Any] = call_kubernetes(subject.core.list_namespaced_resource_quota, subject.namespace).items
    if not quotas:
        return findings.fine("the namespace has none")
    ranges = _ranges(subject)
    waits: list[str] = []
    for one in quotas:
        name, scoped = one.metadata.name, bool(one.spec.scopes or one.spec.scope_selector)
        for task, demand in demands(subject.profile).items():
            effective = quota.with_defaults(demand, ranges)
            if (missing := quota.unstated(effective, one)) and not scoped:
                return findings.cross(
                    f"{name} refuses {task}, which must state {', '.join(missing)}",
                    "give the namespace a LimitRange with defaults, or set them in the profile",
                )
            never, now = quota.shortages(effective, one)
            if (never or now) and scoped:
                return findings.unchecked(f"{name} is short ({(never + now)[0]}), but holds for some pods only")
            if never:
                return findings.cross(
                    f"{name} never admits {task}: {'; '.join(never)}",
                    "have the quota raised, or ask for less in the profile",
                )
            waits += [f"{name}: {text}" for text in now]
    if waits:
        return findings.busy("; ".join(dict.fromkeys(waits)), "runs wait until others have ended")
    return findings.fine(f"{', '.join(one.metadata.name for one in quotas)}: enough left")


def limit_ranges(subject: Subject) -> Finding:
    """The namespace's LimitRanges admit the pods."""
    ranges = _ranges(subject)
    if not ranges:
        return findings.fine("the namespace has none")
    for task, demand in demands(subject.profile).items():
        if conflicts := quota.range_conflicts(quota.with_defaults(demand, ranges), ranges):
            return findings.cross(
                f"each of {task} {conflicts[0]}", "change the profile or the namespace's LimitRange, whichever is wrong"
            )
    return findings.fine(f"{', '.join(one.metadata.name for one in ranges)}: every task is within")


def _ranges(subject: Subject) -> Sequence[Any]:
    return call_kubernetes(subject.core.list_namespaced_limit_range, subject.namespace).items
