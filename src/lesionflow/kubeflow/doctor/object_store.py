"""The object store at the address that the pods use: is it there, and do they have the keys to it?"""

from collections.abc import Callable, Hashable, Iterable
from urllib.parse import urlsplit

from lesionflow.kubeflow.doctor import findings, launcher
from lesionflow.kubeflow.doctor.findings import Finding, Status
from lesionflow.kubeflow.doctor.launcher import UsedStore
from lesionflow.kubeflow.doctor.store_service import host_and_port, service
from lesionflow.kubeflow.doctor.subject import Subject
from lesionflow.kubeflow.kube.cluster_access import Denied, Missing, call_kubernetes
from lesionflow.kubeflow.kube.permissions import who_grants
from lesionflow.storage import Address

_BUCKET, _SHARED, _OWN = "mlpipeline", ("artifacts", "shared"), ("private", "private-artifacts")
"""What the Secret opens that KFP makes for a namespace: these folders of its bucket, the last two with its name."""

_UNCHECKED = findings.unchecked("").what


def object_store(subject: Subject) -> Finding:
    """The S3-compatible stores that the pods use exist in the cluster, with the credentials that they use."""
    found: list[Finding] = []
    uses: dict[UsedStore, list[str]] = {}
    if store := _of_the_steps(subject):
        uses[store] = [uri for uri in (subject.registry, subject.data) if uri]
    try:
        root, store = _of_the_launcher(subject)
        if store:
            uses[store] = [root]
    except Denied as denied:
        found.append(findings.unchecked(str(denied), who_grants(str(denied))))
    found += [_allowed(service, subject, one) for one in _different(uses, host_and_port)]
    found += [_allowed(_secret, subject, one) for one in _different(uses, lambda store: (store.secret, *store.keys))]
    found += [_folder(subject, store, uri) for store, uris in uses.items() for uri in uris]
    return _sum(found)


def launcher_config(subject: Subject) -> dict[str, str]:
    """Data of the namespace's ConfigMap `kfp-launcher`; empty if there is none.

    Raises:
        Denied: this user may not read it.
    """
    try:
        return (
            call_kubernetes(subject.core.read_namespaced_config_map, launcher.CONFIG_MAP, subject.namespace).data or {}
        )
    except Missing:
        return {}


def _of_the_steps(subject: Subject) -> UsedStore | None:
    """What the steps' s3:// leads to; None if it is Amazon's, or no address is on it."""
    store = subject.profile.object_store
    given = [uri for uri in (subject.registry, subject.data) if uri]
    if store is None or (given and not any(Address.parse(uri).is_s3 for uri in given)):
        return None
    return UsedStore("the steps", "by `object_store` in the profile", store.endpoint, store.secret)


def _of_the_launcher(subject: Subject) -> tuple[str, UsedStore | None]:
    """The pipeline root, and where KFP's launcher keeps it."""
    config = launcher_config(subject)
    root = subject.pipeline_root or launcher.root_of(config)
    return root, launcher.store_of(config, root)


def _allowed(check: Callable[[Subject, UsedStore], Finding], subject: Subject, store: UsedStore) -> Finding:
    """What a check finds; that this user may not ask hides nothing that another one finds."""
    try:
        return check(subject, store)
    except Denied as denied:
        return findings.unchecked(str(denied), who_grants(str(denied)))


def _different(stores: Iterable[UsedStore], what: Callable[[UsedStore], Hashable]) -> Iterable[UsedStore]:
    """The first store of those that agree in this."""
    first: dict[Hashable, UsedStore] = {}
    for store in stores:
        first.setdefault(what(store), store)
    return first.values()


def _secret(subject: Subject, store: UsedStore) -> Finding:
    """Whether the Secret is in the pods' namespace and has the keys that are read."""
    if not store.secret:
        return findings.fine("")
    try:
        data = call_kubernetes(subject.core.read_namespaced_secret, store.secret, subject.namespace).data or {}
    except Missing:
        made = "KFP makes it in namespaces with the label pipelines.kubeflow.org/enabled=true"
        hint = (
            made if store.secret == launcher.DEFAULT_SECRET else f"create it with the keys {' and '.join(store.keys)}"
        )
        return findings.cross(f"there is no Secret {store.secret}, whose keys {store.user} would use", hint)
    if missing := [key for key in store.keys if not data.get(key)]:
        return findings.cross(
            f"the Secret {store.secret} has no {' and no '.join(missing)}, only {', '.join(sorted(data)) or 'nothing'}",
            f"add what {store.user} would read, or correct the names, which are set {store.setting}",
        )
    return findings.fine(f"Secret {store.secret}")


def _folder(subject: Subject, store: UsedStore, uri: str) -> Finding:
    """Whether the Secret that KFP made for this namespace opens an address. In KFP's own namespace it opens all."""
    url = urlsplit(uri)
    of_kfp = store.secret == launcher.DEFAULT_SECRET and host_and_port(store)[0].startswith("seaweedfs.")
    if url.scheme == "gs" or not of_kfp or subject.namespace == subject.settings.service_namespace:
        return findings.fine("")
    first, _, rest = url.path.strip("/").partition("/")
    opened = first in _SHARED or (first in _OWN and rest.split("/")[0] == subject.namespace)
    if url.netloc == _BUCKET and opened:
        return findings.fine("")
    return findings.cross(
        f"the Secret {store.secret} of this namespace does not open {uri}",
        f"use an address below s3://{_BUCKET}/private/{subject.namespace}",
    )


def _sum(found: list[Finding]) -> Finding:
    """All findings as one, as bad as the worst of them."""
    for status in (Status.CROSS, Status.UNCHECKED):
        if chosen := [one for one in found if one.status is status]:
            hints = "; ".join(dict.fromkeys(one.hint for one in chosen if one.hint))
            said = "; ".join(dict.fromkeys(one.what.removeprefix(_UNCHECKED) for one in chosen))
            return Finding(status, said, hints) if status is Status.CROSS else findings.unchecked(said, hints)
    said = ", ".join(one.what for one in found if one.what)
    return findings.fine(f"{said}: there") if said else findings.skipped("nothing is on s3://")
