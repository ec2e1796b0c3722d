"""What lesionflow asks of the Kubernetes API, as data; the manifests' Roles and `lesionflow doctor` follow it."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Who(StrEnum):
    """Whose permission it is."""

    USER = "user"
    """Who types `lesionflow submit`, `logs` and the like."""
    EXAMINER = "examiner"
    """Who types `lesionflow doctor`; without it, that one check says "could not be checked"."""
    PIPELINE = "pipeline"
    """The ServiceAccount of the pipeline's pods."""


@dataclass(frozen=True)
class Permission:
    """One verb on one resource."""

    who: Who
    verb: str
    resource: str
    """With its subresource, as in a Role: `pods/log`."""
    why: str
    group: str = ""
    name: str = ""
    """Only this object; empty for all."""
    cluster_wide: bool = False
    """Needs a ClusterRole; a Role in the namespace is not enough."""
    opt_in: bool = False
    """Granted by manifests/components/doctor only, which a namespace may do without."""
    of_object_store: bool = False
    """Needed with a profile that has an `object_store` only, and then for its Secret."""

    def __str__(self) -> str:
        """As kubectl says it, e.g. `list workflows.argoproj.io`."""
        resource, slash, subresource = self.resource.partition("/")
        named = f" {self.name}" if self.name else ""
        everywhere = " in all namespaces" if self.cluster_wide and self.resource == "pods" else ""
        return f"{self.verb} {resource}{'.' + self.group if self.group else ''}{slash}{subresource}{named}{everywhere}"

    def attributes(self, namespace: str) -> dict[str, Any]:
        """The fields of an access review that asks for it."""
        resource, _, subresource = self.resource.partition("/")
        return {
            "namespace": None if self.cluster_wide else namespace,
            "verb": self.verb,
            "group": self.group,
            "resource": resource,
            "subresource": subresource or None,
            "name": self.name or None,
        }


KFP = "pipelines.kubeflow.org"
"""Group of what is no object of the cluster: KFP's API asks Kubernetes whether its caller may do it."""

_OF_KFP = {
    "pipelines": ("an upload of the pipeline, or of a version of it", ("get", "list", "create")),
    "experiments": ("the runs' experiment", ("get", "list", "create")),
    "runs": ("to start a run, to follow it, and to stop it", ("get", "list", "create", "terminate")),
    "jobs": ("KFP's name of schedules", ("get", "list", "create", "delete", "enable", "disable")),
}

PERMISSIONS = (
    *(
        Permission(Who.USER, verb, resource, why, group=KFP)
        for resource, (why, verbs) in _OF_KFP.items()
        for verb in verbs
    ),
    Permission(Who.USER, "list", "pods", "why a pod is Pending, which pod's log to show"),
    Permission(Who.USER, "list", "events", "why a pod is Pending: scheduling, image pull, volumes"),
    Permission(Who.USER, "get", "pods/log", "the log of a step"),
    Permission(
        Who.USER, "list", "workflows", "how far each step is and how it ended; quota refusals", group="argoproj.io"
    ),
    Permission(Who.EXAMINER, "get", "serviceaccounts", "whether the pipeline's ServiceAccount exists"),
    Permission(Who.EXAMINER, "list", "resourcequotas", "quota left"),
    Permission(Who.EXAMINER, "list", "limitranges", "limits that would refuse a pod"),
    Permission(Who.EXAMINER, "get", "configmaps", "the default pipeline root", name="kfp-launcher"),
    Permission(Who.EXAMINER, "get", "configmaps", "where KFP's own object store is", name="artifact-repositories"),
    Permission(Who.EXAMINER, "get", "namespaces", "whether the namespace exists"),
    Permission(
        Who.EXAMINER,
        "get",
        "secrets",
        "whether the keys to the object store are there, under the names that the pods read",
        name="mlpipeline-minio-artifact",
        opt_in=True,
    ),
    Permission(Who.EXAMINER, "list", "nodes", "nodes that a task fits on", cluster_wide=True, opt_in=True),
    Permission(Who.EXAMINER, "list", "pods", "what of a node is already in use", cluster_wide=True, opt_in=True),
    Permission(
        Who.EXAMINER,
        "get",
        "configmaps",
        "whether an autoscaler may add a node that a task fits on",
        name="cluster-autoscaler-status",
        cluster_wide=True,
        opt_in=True,
    ),
    Permission(
        Who.EXAMINER, "get", "services", "whether the pods will find the object store", cluster_wide=True, opt_in=True
    ),
    Permission(
        Who.EXAMINER,
        "get",
        "namespaces",
        "whether an address such as store.example is a Service or leads out of the cluster",
        cluster_wide=True,
        opt_in=True,
    ),
    Permission(
        Who.EXAMINER,
        "list",
        "endpointslices",
        "whether the object store has a pod that is ready",
        group="discovery.k8s.io",
        cluster_wide=True,
        opt_in=True,
    ),
    Permission(
        Who.EXAMINER,
        "create",
        "subjectaccessreviews",
        "what the pipeline's ServiceAccount may do",
        group="authorization.k8s.io",
        cluster_wide=True,
        opt_in=True,
    ),
    Permission(Who.PIPELINE, "create", "workflowtaskresults", "Argo's executor reports outputs", group="argoproj.io"),
    Permission(Who.PIPELINE, "patch", "workflowtaskresults", "Argo's executor reports outputs", group="argoproj.io"),
    Permission(
        Who.PIPELINE,
        "get",
        "pods",
        "KFP's launcher reads the number of its attempt in its own pod: else the logs of retries overwrite each other",
    ),
    Permission(Who.PIPELINE, "get", "configmaps", "KFP's launcher reads the pipeline root", name="kfp-launcher"),
    Permission(
        Who.PIPELINE,
        "get",
        "secrets",
        "credentials of KFP's own object store; not used with gs:// and workload identity",
        name="mlpipeline-minio-artifact",
        of_object_store=True,
    ),
)
"""Every permission that lesionflow uses, and why."""

_REFUSAL = re.compile(
    r'cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)" (?P<scope>.+)'
)
"""In the words of Kubernetes."""


def who_grants(refusal: str) -> str:
    """The hint on a request that Kubernetes refused; empty if lesionflow never makes such a one.

    Args:
        refusal: the message of the API.
    """
    found = _REFUSAL.search(refusal)
    if not found:
        return ""
    everywhere = "cluster scope" in found["scope"]
    asked = [
        one
        for one in PERMISSIONS
        if one.who is not Who.PIPELINE
        and (one.verb, one.resource, one.group) == (found["verb"], found["resource"], found["group"])
    ]
    if not asked:
        return ""
    if min(asked, key=lambda one: one.cluster_wide != everywhere).opt_in:
        return "have components/doctor added to the overlay and applied: it grants this"
    return "ask for the Role lesionflow-submitter of manifests/base, which grants this"
