"""A real Kubernetes API server as one test sees it: with the objects that it puts in, as the user it wants.

`scripts/cluster` starts the server. There is no kubelet and no node but those that a test adds: what a kubelet
would write is written into the status by hand, shaped like the recordings of a real one, and logs come from
`kubelet.Kubelet`. Everything else is the server's own: what it accepts, fills in, refuses and says; who may do
what, by the Roles of the manifests; where a pod fits, by the real scheduler; what a quota admits.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import yaml
from kube_api.cluster import Administrator, Refused, eventually
from kube_api.kubelet import Kubelet
from kube_api.permissions import allows, expanded, grant

NOT_READY = "node.kubernetes.io/not-ready"
_granted: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
"""Namespace -> what its accounts were last denied, in the cluster of this process."""
_tokens: dict[str, str] = {}


class KubeApiServer:
    """The cluster with the manifests' accounts in one namespace; what was added is gone after the `with` block."""

    def __init__(self, kubeconfig: Path, namespace: str = "team-a") -> None:
        """Nothing is asked yet.

        Args:
            kubeconfig: the administrator's.
            namespace: of the accounts, and where user and pipeline are.
        """
        self.admin = Administrator(kubeconfig)
        self.url = self.admin.url
        self.namespace = namespace
        self.kubelet = Kubelet(Path(self.admin.authority))
        self.denied = _Denied(self)
        """What the user may not do of what the manifests grant: `list pods`, `list pods *` for all namespaces."""
        self.account_denied = _Denied(self)
        """What the pipeline's ServiceAccount may not do."""
        self._added: dict[tuple[str, str | None], set[str]] = {}

    def add(self, resource: str, *objects: Mapping[str, Any]) -> None:
        """Put objects in, each as its kind needs it (see the functions below); a namespace may be there already."""
        for given in objects:
            whole = {k: v for k, v in deepcopy(dict(given)).items() if k != "status"}
            namespace = whole["metadata"].get("namespace")
            if namespace:
                self._make_namespace(namespace)
            if resource == "workflows":
                whole = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", **whole}
            if resource == "events":
                self._name_the_pod(whole)
            if resource == "namespaces":
                self._make_namespace(whole["metadata"]["name"])
                continue
            made = self.admin.ask("POST", self.admin.path(resource, namespace), whole, fieldValidation="Strict")
            self._added.setdefault((resource, namespace), set()).add(made["metadata"]["name"])
            path = self.admin.path(resource, namespace, made["metadata"]["name"])
            if resource == "nodes":
                self._bring_up(path, given)
            elif resource == "resourcequotas":
                eventually(lambda: self.admin.ask("GET", path)["status"].get("hard") == made["spec"]["hard"])  # noqa: B023
            elif resource == "pods" and (status := given.get("status")):
                self.admin.merge(f"{path}/status", {"status": status})
            elif resource == "workflows" and (status := given.get("status")):
                self.admin.merge(path, {"status": status})  # Argo's CRD has no status subresource

    def get(self, resource: str, name: str, namespace: str | None = None) -> Any:
        """An object as it is now, as the administrator sees it."""
        return self.admin.ask("GET", self.admin.path(resource, namespace or self.namespace, name))

    def remove(self, resource: str, *names: str) -> None:
        """Take away what was added of a kind: all of it, or these."""
        for (kind, namespace), added in self._added.items():
            if kind == resource:
                for name in set(names or added) & added:
                    self._delete(resource, namespace, name)
                    added.discard(name)

    def kubeconfig(self, folder: Path, token: str | None = None, host: str | None = None) -> Path:
        """The kubeconfig of the manifests' submitter, or of whoever has a token."""
        cluster = {"server": host or self.url, **({} if host else {"certificate-authority": self.admin.authority})}
        file = folder / "kubeconfig"
        file.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "real", "cluster": cluster}],
                    "users": [{"name": "tester", "user": {"token": token or self.token("lesionflow-submitter")}}],
                    "contexts": [{"name": "real", "context": {"cluster": "real", "user": "tester"}}],
                    "current-context": "real",
                }
            )
        )
        return file

    def token(self, account: str) -> str:
        """A token of a ServiceAccount, from the API server."""
        path = self.admin.path("serviceaccounts", self.namespace, account, "token")
        if path not in _tokens:
            request = {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"expirationSeconds": 86400},
            }
            _tokens[path] = self.admin.ask("POST", path, request)["status"]["token"]
        return _tokens[path]

    def allow(self, *rules: Mapping[str, Any], to: Mapping[str, str] | None = None) -> None:
        """Grant in the namespace what the manifests do not, until the test ends.

        Args:
            rules: of a Role.
            to: a user or group as a RoleBinding names it; the submitter unless given.
        """
        name = f"more-{uuid4().hex[:8]}"
        metadata = {"name": name, "namespace": self.namespace}
        account = {"kind": "ServiceAccount", "name": "lesionflow-submitter", "namespace": self.namespace}
        subject = account if to is None else {**to, "apiGroup": "rbac.authorization.k8s.io"}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        self.add("roles", {"metadata": metadata, "rules": list(rules)})
        self.add("rolebindings", {"metadata": metadata, "roleRef": role, "subjects": [subject]})
        user = to["name"] if to else f"system:serviceaccount:{self.namespace}:lesionflow-submitter"
        for permission in expanded({"rules": rules}):
            eventually(lambda: allows(self.admin, user, permission, self.namespace))  # noqa: B023 called at once

    def grant(self) -> None:
        """Make the accounts' permissions what they should be, if they are not."""
        wanted = frozenset(self.denied), frozenset(self.account_denied)
        if _granted.get(self.namespace) != wanted:
            grant(self.admin, self.namespace, *wanted)
            _granted[self.namespace] = wanted

    def __enter__(self) -> Self:
        self.kubelet.__enter__()
        self._make_namespace(self.namespace)
        self.grant()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kubelet.__exit__(kind, error, trace)
        for (resource, namespace), added in self._added.items():
            for name in added:
                self._delete(resource, namespace, name)

    def _make_namespace(self, name: str) -> None:
        """Make it if it is not there, and wait for the account that pods run as."""
        with suppress(Refused):
            self.admin.ask("GET", self.admin.path("serviceaccounts", name, "default"))
            return
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        self.admin.apply(self.admin.path("namespaces", None, name), space)
        eventually(lambda: self._there("serviceaccounts", name, "default"))

    def _there(self, resource: str, namespace: str | None, name: str) -> bool:
        try:
            self.admin.ask("GET", self.admin.path(resource, namespace, name))
        except Refused as refused:
            if refused.status != 404:
                raise
            return False
        return True

    def _bring_up(self, path: str, node: Mapping[str, Any]) -> None:
        """What a kubelet tells of its node, and the taint gone that a node has until then."""
        reached = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.kubelet.port}},
        }
        self.admin.merge(f"{path}/status", {"status": {**reached, **node["status"]}})
        self.admin.merge(path, {"spec": {"taints": node["spec"].get("taints")}})

    def _name_the_pod(self, event: dict[str, Any]) -> None:
        """An event is of a pod with a certain uid, which only the server knows."""
        about = event["involvedObject"]
        with suppress(Refused):
            about["uid"] = self.get("pods", about["name"], about["namespace"])["metadata"]["uid"]

    def _delete(self, resource: str, namespace: str | None, name: str) -> None:
        path = self.admin.path(resource, namespace, name)
        try:
            self.admin.ask("DELETE", path, gracePeriodSeconds="0")
        except Refused as refused:
            if refused.status != 404:
                raise


class _Denied(set[str]):
    """Permissions taken away; the cluster follows."""

    def __init__(self, kube: KubeApiServer) -> None:
        super().__init__()
        self._kube = kube

    def add(self, element: str) -> None:
        super().add(element)
        self._kube.grant()

    def update(self, *others: Iterable[str]) -> None:
        super().update(*others)
        self._kube.grant()

    def __ior__(self, others: Any) -> Self:
        self.update(others)
        return self


__all__ = ["KubeApiServer"]
