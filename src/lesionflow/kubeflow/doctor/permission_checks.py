"""Whether this user and the pipeline's ServiceAccount may do what they will have to."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lesionflow.kubeflow.client.connection import connect
from lesionflow.kubeflow.doctor import findings
from lesionflow.kubeflow.doctor.cluster_checks import MANIFESTS
from lesionflow.kubeflow.doctor.findings import Finding
from lesionflow.kubeflow.doctor.subject import Subject
from lesionflow.kubeflow.kube.cluster_access import call_kubernetes
from lesionflow.kubeflow.kube.permissions import KFP, PERMISSIONS, Permission, Who

_ROLE = "ask for the Role lesionflow-submitter of manifests/base"


def own_permissions(subject: Subject) -> Finding:
    """This user may do what `submit --wait` and `logs` need of Kubernetes."""
    asked = [one for one in PERMISSIONS if one.who is Who.USER and one.group != KFP]
    return _permissions(subject, asked, _may_i(subject), f"{_ROLE}; without it, nothing tells why a step waits")


def kubeflow_permissions(subject: Subject) -> Finding:
    """This user may do what `submit`, `stop` and `schedule` need of Kubeflow Pipelines."""
    settings = subject.settings
    if not connect(settings).get_user_namespace():
        return findings.fine("Kubeflow Pipelines serves a single user, so everybody may do everything")
    asked = [one for one in PERMISSIONS if one.who is Who.USER and one.group == KFP]
    if settings.dex_username:
        # Kubeflow's gateway passes on the name, and with it KFP asks Kubernetes the same.
        return _permissions(subject, asked, _may(subject, settings.dex_username, ["system:authenticated"]), _ROLE)
    finding = _permissions(subject, asked, _may_i(subject), _ROLE)
    if finding.hint and settings.iap_client_id:
        return findings.unchecked("who you are behind IAP, the Kubernetes API does not know")
    return finding


def account_permissions(subject: Subject) -> Finding:
    """The pipeline's ServiceAccount may do what its pods need."""
    namespace, store = subject.namespace, subject.profile.object_store
    asked = [
        replace(one, name=store.secret) if store and one.of_object_store else one
        for one in PERMISSIONS
        if one.who is Who.PIPELINE and (store or not one.of_object_store)
    ]
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
    user = f"system:serviceaccount:{namespace}:{subject.service_account}"
    return _permissions(subject, asked, _may(subject, user, groups), MANIFESTS)


Answer = Callable[[Any], bool]
"""Whether the `V1ResourceAttributes` of an access review are allowed."""


def _may_i(subject: Subject) -> Answer:
    from kubernetes.client import AuthorizationV1Api, V1SelfSubjectAccessReview, V1SelfSubjectAccessReviewSpec

    authorization = AuthorizationV1Api(subject.api_client)

    def allowed(attributes: Any) -> bool:
        review = V1SelfSubjectAccessReview(spec=V1SelfSubjectAccessReviewSpec(resource_attributes=attributes))
        return bool(call_kubernetes(authorization.create_self_subject_access_review, review).status.allowed)

    return allowed


def _may(subject: Subject, user: str, groups: list[str]) -> Answer:
    from kubernetes.client import AuthorizationV1Api, V1SubjectAccessReview, V1SubjectAccessReviewSpec

    authorization = AuthorizationV1Api(subject.api_client)

    def allowed(attributes: Any) -> bool:
        spec = V1SubjectAccessReviewSpec(user=user, groups=groups, resource_attributes=attributes)
        return bool(
            call_kubernetes(authorization.create_subject_access_review, V1SubjectAccessReview(spec=spec)).status.allowed
        )

    return allowed


def _permissions(subject: Subject, asked: list[Permission], allowed: Answer, hint: str) -> Finding:
    from kubernetes.client import V1ResourceAttributes

    lacking = [one for one in asked if not allowed(V1ResourceAttributes(**one.attributes(subject.namespace)))]
    if lacking:
        return findings.cross(f"lacks {', '.join(map(str, lacking))}", hint)
    return findings.fine(_short(asked))


def _short(asked: list[Permission]) -> str:
    """Each resource once, with all its verbs."""
    verbs: dict[str, list[str]] = {}
    for one in asked:
        verbs.setdefault(str(one).partition(" ")[2], []).append(one.verb)
    return "; ".join(f"{', '.join(each)} {resource}" for resource, each in verbs.items())
