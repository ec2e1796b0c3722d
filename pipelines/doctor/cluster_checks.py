"""What the Kubernetes API tells of the namespace: its account, permissions, quota and limits."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pipelines.doctor import findings, quota
from pipelines.doctor.cluster_access import Missing, ask
from pipelines.doctor.findings import Finding
from pipelines.doctor.node_check import demands
from pipelines.doctor.permissions import PERMISSIONS, Permission, Who
from pipelines.doctor.subject import Subject

_MANIFESTS = "apply the manifests: kubectl apply -k manifests/overlays/generic (or the overlay of your cluster)"


def api(subject: Subject) -> Finding:
    """The Kubernetes API answers."""
    from kubernetes.client import VersionApi

    version = ask(VersionApi(subject.api_client).get_code).git_version
    return findings.fine(f"{subject.api_client.configuration.host} answers, {version}")


def namespace(subject: Subject) -> Finding:
    """The namespace exists."""
    name = subject.namespace
    try:
        found = ask(subject.core.read_namespace, name)
    except Missing:
        return findings.cross(f"there is no {name}", f"create it: kubectl create namespace {name}; or {_MANIFESTS}")
    if found.status and found.status.phase == "Terminating":
        return findings.cross(f"{name} is being deleted", "choose another with --namespace, or create it anew")
    return findings.fine(name)


def service_account(subject: Subject) -> Finding:
    """The pods' ServiceAccount exists."""
    name = subject.service_account
    try:
        ask(subject.core.read_namespaced_service_account, name, subject.namespace)
    except Missing:
        return findings.cross(f"there is no {name}", f"{_MANIFESTS}, or name another with --service-account")
    return findings.fine(name)


def own_permissions(subject: Subject) -> Finding:
    """This user may do what `submit --wait` and `logs` need."""
    from kubernetes.client import AuthorizationV1Api, V1SelfSubjectAccessReview, V1SelfSubjectAccessReviewSpec

    authorization = AuthorizationV1Api(subject.api_client)

    def allowed(attributes: Any) -> bool:
        spec = V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
        review = V1SelfSubjectAccessReview(spec=spec)
        return bool(ask(authorization.create_self_subject_access_review, review).status.allowed)

    mend = "ask for the Role lesionflow-submitter of manifests/base; without it, nothing tells why a step waits"
    return _permissions(subject, Who.USER, allowed, mend)


def account_permissions(subject: Subject) -> Finding:
    """The pipeline's ServiceAccount may do what its pods need."""
    from kubernetes.client import AuthorizationV1Api, V1SubjectAccessReview, V1SubjectAccessReviewSpec

    authorization = AuthorizationV1Api(subject.api_client)
    everyone = ["system:serviceaccounts", f"system:serviceaccounts:{subject.namespace}", "system:authenticated"]

    def allowed(attributes: Any) -> bool:
        spec = V1SubjectAccessReviewSpec(
            user=f"system:serviceaccount:{subject.namespace}:{subject.service_account}",
            groups=everyone,
            resource_attributes=attributes,
        )
        return bool(ask(authorization.create_subject_access_review, V1SubjectAccessReview(spec=spec)).status.allowed)

    return _permissions(subject, Who.PIPELINE, allowed, _MANIFESTS)


def resource_quota(subject: Subject) -> Finding:
    """The namespace's quota admits the pods, now."""
    quotas: Sequence[Any] = ask(subject.core.list_namespaced_resource_quota, subject.namespace).items
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
    return ask(subject.core.list_namespaced_limit_range, subject.namespace).items


def _permissions(subject: Subject, who: Who, allowed: Callable[[Any], bool], mend: str) -> Finding:
    from kubernetes.client import V1ResourceAttributes

    store = subject.profile.object_store
    asked = [
        replace(one, name=store.secret) if store and one.of_object_store else one
        for one in PERMISSIONS
        if one.who is who and (store or not one.of_object_store)
    ]
    lacking: list[Permission] = [
        one for one in asked if not allowed(V1ResourceAttributes(**one.attributes(subject.namespace)))
    ]
    if lacking:
        return findings.cross(f"lacks {', '.join(map(str, lacking))}", mend)
    return findings.fine(", ".join(map(str, asked)))
