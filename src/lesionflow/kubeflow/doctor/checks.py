"""The checks of `lesionflow doctor`, in order, and how they are gone through."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lesionflow import storage
from lesionflow.errors import ClusterError, UserError
from lesionflow.kubeflow.client.connection import connect
from lesionflow.kubeflow.client.settings import ClusterSettings
from lesionflow.kubeflow.doctor import cluster_checks, findings, node_check, permission_checks
from lesionflow.kubeflow.doctor.findings import Finding, Status
from lesionflow.kubeflow.doctor.object_store import launcher_config, object_store
from lesionflow.kubeflow.doctor.registry_access import ImageMissing, RegistryUnknown, find_image
from lesionflow.kubeflow.doctor.subject import Subject
from lesionflow.kubeflow.kube.cluster_access import Denied
from lesionflow.kubeflow.kube.permissions import PERMISSIONS, who_grants
from lesionflow.pipelines.training import define_training_pipeline
from lesionflow.profile import ClusterProfile
from lesionflow.storage import Address

__all__ = ["PERMISSIONS", "Check", "checks_for", "examine"]

_PROBE = ".lesionflow-doctor"
_BY_KUBECONFIG = {
    401: "log in to the cluster again; or, where Kubeflow Pipelines serves several users, set its endpoint "
    "(KF_PIPELINES_ENDPOINT) and a way to sign in: through the Kubernetes API it cannot tell who asks",
    403: "have the Role of manifests/kubeconfig-access bound to you (kubectl apply -k manifests/kubeconfig-access), or "
    "set the endpoint of Kubeflow Pipelines (KF_PIPELINES_ENDPOINT) and a way to sign in",
}
"""HTTP status -> the hint for who reaches Kubeflow Pipelines through the Kubernetes API."""


@dataclass(frozen=True)
class Check:
    """One line of the table."""

    name: str
    run: Callable[[Subject], Finding]
    needs: tuple[str, ...] = ()
    """Checks without which this one can find nothing."""


def examine(
    checks: Sequence[Check],
    subject: Subject,
    starting: Callable[[str], None],
    finished: Callable[[str, Finding], None],
) -> dict[str, Finding]:
    """Go through the checks, one after the other; none stops the others.

    Args:
        checks: in an order in which none needs a later one.
        subject: what is examined.
        starting: told the name of each check before it is tried.
        finished: told the name and the finding of each.

    Returns:
        The finding of each check, by name.
    """
    found: dict[str, Finding] = {}
    for check in checks:
        starting(check.name)
        hopeless = [need for need in check.needs if found[need].status in (Status.CROSS, Status.SKIPPED)]
        found[check.name] = findings.skipped(f"see {hopeless[0]}") if hopeless else _tried(check, subject)
        finished(check.name, found[check.name])
    return found


def pipelines_api(subject: Subject) -> Finding:
    """Kubeflow Pipelines answers, and lets this user list runs."""
    from lesionflow.kubeflow.client.transport import Refused

    try:
        client = connect(subject.settings)
        # Its health it tells everybody. With profiles, it asks whether this user may list the namespace's runs.
        listed = client.list_runs(page_size=1, namespace=client.get_user_namespace() or None)
    except Refused as refused:
        if refused.status not in _BY_KUBECONFIG or not _goes_by_kubeconfig(subject.settings):
            raise
        return findings.cross(str(refused).partition("; ")[0], _BY_KUBECONFIG[refused.status])
    where = subject.settings.endpoint or "the service of your kubeconfig's cluster"
    return findings.fine(f"{where} answers, {listed.total_size or 0} runs so far")


def pipeline_root(subject: Subject) -> Finding:
    """The steps' artifacts can be written."""
    if subject.pipeline_root:
        return _only_pods_reach(subject.pipeline_root, subject.profile) or _writable(subject.pipeline_root)
    config = launcher_config(subject)
    root = config.get("defaultPipelineRoot")
    if not root:
        return findings.unchecked("none is set, so KFP's own object store, which only the cluster reaches")
    if not _is_reached(root, bool(config.get("providers"))):
        return findings.unchecked(f"only the cluster knows how to reach {root}; set AWS_ENDPOINT_URL_S3 to try")
    return _writable(root)


def _is_reached(root: str, provided: bool) -> bool:
    """Whether this machine is led to the store of a root. `provided`: KFP's launcher is told what s3:// leads to."""
    try:
        address = Address.parse(root)
    except UserError:
        return False  # the launcher reads more schemes than we do
    elsewhere = address.is_s3 and (provided or address.scheme != "s3")
    return address.is_remote and (_led_elsewhere() or not elsewhere)


def registry(subject: Subject) -> Finding:
    """Promoted models can be written."""
    if not subject.registry:
        return findings.skipped("give it with --registry")
    if unreached := _only_pods_reach(subject.registry, subject.profile):
        return unreached
    found = _writable(subject.registry)
    storage.check_swaps(subject.registry)  # what two promotions at once rely on
    return found


def data(subject: Subject) -> Finding:
    """The images to train on can be read."""
    if not subject.data:
        return findings.skipped("give it with --data")
    if not Address.parse(subject.data).is_remote:
        return _local(subject.data)
    if unreached := _only_pods_reach(subject.data, subject.profile):
        return unreached
    files = storage.list_files(subject.data)
    smallest = min(files, key=lambda file: file.size)
    storage.read_bytes(Address.parse(subject.data) / smallest.name)
    return findings.fine(f"{subject.data}: {len(files):,} files, readable")


def image(name: str) -> Callable[[Subject], Finding]:
    """The check of one of the pipeline's images, by its name in the code."""

    def pullable(subject: Subject) -> Finding:
        pinned = subject.pins.get(name)
        if pinned is None:
            return findings.cross("was never built and pushed", "run 'make images REPOSITORY=...'")
        try:
            find_image(pinned)
        except ImageMissing as missing:
            return findings.cross(str(missing), "build and push it again: 'make images REPOSITORY=...'")
        except RegistryUnknown as unknown:
            return findings.unchecked(f"{unknown}; the cluster's nodes may still be able to pull it")
        return findings.fine(pinned.partition("@")[0] + "@" + pinned.partition("@sha256:")[2][:12])

    return pullable


def checks_for(subject: Subject) -> list[Check]:
    """All checks, in order."""
    account, kubernetes = ("ServiceAccount",), ("Kubernetes API",)
    inside = ("namespace",)
    return [
        Check("Kubeflow Pipelines", pipelines_api),
        Check("Kubernetes API", cluster_checks.api),
        Check("namespace", cluster_checks.namespace, kubernetes),
        Check("ServiceAccount", cluster_checks.service_account, inside),
        Check("your permissions", permission_checks.own_permissions, inside),
        Check("in Kubeflow", permission_checks.kubeflow_permissions, ("Kubeflow Pipelines", *inside)),
        Check("its permissions", permission_checks.account_permissions, account),
        Check("nodes", node_check.nodes, kubernetes),
        Check("quota", cluster_checks.resource_quota, inside),
        Check("limits", cluster_checks.limit_ranges, inside),
        Check("object store", object_store, inside),
        Check("pipeline root", pipeline_root, () if subject.pipeline_root else inside),
        Check("registry", registry),
        Check("data", data),
        *(Check(f"image {name.partition(':')[2]}", image(name)) for name in _images(subject.profile)),
    ]


def _images(profile: ClusterProfile) -> list[str]:
    """Names of the images that the pipeline runs in, with this profile."""
    executors = define_training_pipeline(profile).pipeline_spec.deployment_spec["executors"].values()
    return sorted({executor["container"]["image"] for executor in executors if "container" in executor})


def _tried(check: Check, subject: Subject) -> Finding:
    try:
        return check.run(subject)
    except Denied as denied:
        return findings.unchecked(str(denied), who_grants(str(denied)))
    except (UserError, ClusterError) as error:
        what, _, hint = str(error).rstrip(".").partition("; ")
        return findings.cross(what, hint or "correct it and try again")


def _goes_by_kubeconfig(settings: ClusterSettings) -> bool:
    """As `connection.connect` goes."""
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ and settings.kube_context is None
    return not settings.endpoint and not in_pod


def _led_elsewhere() -> bool:
    """Whether this machine was told where s3:// leads, as by a port-forward to the cluster's store."""
    return bool(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"))


def _only_pods_reach(uri: str, profile: ClusterProfile) -> Finding | None:
    """The finding on an address that leads the pods to a store of the cluster, and this machine to Amazon."""
    if profile.object_store is None or _led_elsewhere() or not Address.parse(uri).is_s3:
        return None
    return findings.unchecked(f"only the pods reach {profile.object_store.endpoint}; set AWS_ENDPOINT_URL_S3 to try")


def _writable(uri: str) -> Finding:
    """Write a small object and read it back. It stays: the next time it is replaced."""
    if not Address.parse(uri).is_remote:
        return _local(uri)
    probe = Address.parse(uri) / _PROBE
    storage.write_bytes(probe, b"lesionflow doctor was here")
    if storage.read_bytes(probe) != b"lesionflow doctor was here":
        return findings.cross(f"{uri} gives back something else than was written", "check the object store")
    return findings.fine(f"{uri} is writable by you; left {_PROBE}, a few bytes, in it")


def _local(uri: str) -> Finding:
    return findings.cross(f"{uri} is a path of this machine, which pods cannot see", "use a gs:// or s3:// address")
