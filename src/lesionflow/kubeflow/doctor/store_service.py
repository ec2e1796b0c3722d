"""Whether an object store's address leads pods to a Service with a pod behind it."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import urlsplit

import yaml

from lesionflow.kubeflow.doctor import findings
from lesionflow.kubeflow.doctor.findings import Finding
from lesionflow.kubeflow.doctor.launcher import UsedStore
from lesionflow.kubeflow.doctor.subject import Subject
from lesionflow.kubeflow.kube.cluster_access import Denied, Missing, call_kubernetes

_KFPS_OWN = ("seaweedfs", "minio-service")
"""Services of KFP's own store: since 2.16, and before."""
_ARCHIVE = "artifact-repositories"
"""ConfigMap in which Argo finds where to archive logs."""


def host_and_port(store: UsedStore) -> tuple[str, int]:
    """Host and port of a store's endpoint, as in a URL or without a scheme."""
    url = urlsplit(store.endpoint if "//" in store.endpoint else f"//{store.endpoint}")
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


def service(subject: Subject, store: UsedStore) -> Finding:
    """Whether the endpoint is a Service with a pod behind it."""
    if not store.endpoint:
        return findings.fine("Amazon's S3")
    host, port = host_and_port(store)
    place = _in_cluster(subject, host)
    if place is None:
        return findings.unchecked(f"{store.endpoint} is no Service of this cluster, so only the pods can try it")
    name, namespace = place
    try:
        found = call_kubernetes(subject.core.read_namespaced_service, name, namespace)
    except Denied:
        if finding := _as_kfp_has_it(subject, store, name, namespace):
            return finding
        raise
    except Missing:
        known = [other for other in _KFPS_OWN if _exists(subject, other, namespace)]
        there = f"; KFP's own is http://{known[0]}.{namespace}:9000" if known else ""
        return findings.cross(
            f"{store.user} will look for objects at {store.endpoint}, and there is no Service {name} in the "
            f"namespace {namespace}",
            f"correct the address, which is set {store.setting}{there}",
        )
    ports = [each.port for each in found.spec.ports or []]
    if port not in ports:
        return findings.cross(
            f"the Service {name} in the namespace {namespace} has no port {port}, only {', '.join(map(str, ports))}",
            f"correct the address {store.endpoint}, which is set {store.setting}",
        )
    if found.spec.type == "ExternalName" or _ready(subject, name, namespace):
        return findings.fine(store.endpoint)
    return findings.cross(
        f"no pod behind the Service {name} in the namespace {namespace} is ready",
        f"see why: kubectl get pods --namespace {namespace}",
    )


def _as_kfp_has_it(subject: Subject, store: UsedStore, name: str, namespace: str) -> Finding | None:
    """What is known of a Service that this user may not see: where KFP has its own pods' logs archived.

    KFP writes that into each namespace of several users, for Argo.

    Returns:
        None if that says nothing about this Service.
    """
    try:
        data = call_kubernetes(subject.core.read_namespaced_config_map, _ARCHIVE, subject.namespace).data or {}
    except (Missing, Denied):
        return None
    for one in data.values():
        archive = _mapping(_mapping(_parsed(one)).get("s3")).get("endpoint", "").partition(":")[0].split(".")
        if archive[:2] == [name, namespace]:
            return findings.fine(f"{store.endpoint} (where KFP archives logs)")
        if len(archive) > 1 and archive[0] in _KFPS_OWN and archive[1] == namespace and name in _KFPS_OWN:
            there = ".".join(archive[:2])
            return findings.cross(
                f"{store.user} will look for objects at {store.endpoint}, and KFP's own store is {there}",
                f"correct the address, which is set {store.setting}, to http://{there}:9000",
            )
    return None


def _parsed(text: str) -> Any:
    try:
        return yaml.safe_load(text)  # KFP writes JSON, people YAML
    except yaml.YAMLError:
        return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}


def _in_cluster(subject: Subject, host: str) -> tuple[str, str] | None:
    """Name and namespace of the Service that a host name means to a pod; None if it is a name of the outside."""
    try:
        ip_address(host)
        return None
    except ValueError:
        name, *rest = host.split(".")
    if not rest:
        return name, subject.namespace
    if len(rest) > 1:
        return (name, rest[0]) if rest[1] == "svc" else None
    return (name, rest[0]) if rest[0] == subject.namespace or _namespace(subject, rest[0]) else None


def _namespace(subject: Subject, name: str) -> bool:
    """Whether there is such a namespace; who may not ask that takes the name for one."""
    try:
        call_kubernetes(subject.core.read_namespace, name)
    except Missing:
        return False
    except Denied:
        return True
    return True


def _exists(subject: Subject, service: str, namespace: str) -> bool:
    try:
        call_kubernetes(subject.core.read_namespaced_service, service, namespace)
    except Missing:
        return False
    return True


def _ready(subject: Subject, service: str, namespace: str) -> bool:
    from kubernetes.client import DiscoveryV1Api

    listed = call_kubernetes(
        DiscoveryV1Api(subject.api_client).list_namespaced_endpoint_slice,
        namespace,
        label_selector=f"kubernetes.io/service-name={service}",
    )
    endpoints = [endpoint for piece in listed.items for endpoint in piece.endpoints or []]
    # Not said counts as ready, as everywhere in Kubernetes.
    return any(each.conditions is None or each.conditions.ready is not False for each in endpoints)
