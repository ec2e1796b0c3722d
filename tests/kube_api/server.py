"""A stand-in for a Kubernetes API server: real HTTP on loopback, so that the real client is what is tested.

It is not Kubernetes. It serves, read-only, the objects that a test puts into it, and answers access
reviews; nothing schedules, admits or runs anything. It is strict in what a test of a client needs:
objects must satisfy the schemas that Kubernetes publishes, unknown paths are 404, unknown parameters
and unsupported field selectors 400, a wrong token 401, a denied permission 403 with the words of the
real server, and a review must have exactly the fields it has.
"""

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

TOKEN = "stand-in-token"
VERSION = "1.36"

KINDS = {
    "namespaces": ("v1", "Namespace"),
    "nodes": ("v1", "Node"),
    "pods": ("v1", "Pod"),
    "events": ("v1", "Event"),
    "configmaps": ("v1", "ConfigMap"),
    "serviceaccounts": ("v1", "ServiceAccount"),
    "resourcequotas": ("v1", "ResourceQuota"),
    "limitranges": ("v1", "LimitRange"),
    "services": ("v1", "Service"),
    "secrets": ("v1", "Secret"),
    "endpointslices": ("discovery.k8s.io/v1", "EndpointSlice"),
    "workflows": ("argoproj.io/v1alpha1", "Workflow"),
}
_GROUPS = {
    "workflows": "argoproj.io",
    "endpointslices": "discovery.k8s.io",
    "subjectaccessreviews": "authorization.k8s.io",
}
_CLUSTER_WIDE = {"namespaces", "nodes"}
_FIELDS = {
    "pods": {"metadata.name", "metadata.namespace", "spec.nodeName", "spec.serviceAccountName", "status.phase"},
    "events": {"involvedObject.kind", "involvedObject.name", "involvedObject.uid", "reason", "type"},
}
_PARAMETERS = {"labelSelector", "fieldSelector", "limit", "continue"}
_REVIEW_FIELDS = {"namespace", "verb", "group", "version", "resource", "subresource", "name"}
_PATH = re.compile(
    r"/(?P<group>api/v1|apis/argoproj\.io/v1alpha1|apis/discovery\.k8s\.io/v1)"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/))?/(?P<resource>[a-z]+)(?:/(?P<name>[^/]+))?"
)


@dataclass
class KubeApiServer:
    """Serves `objects` until it leaves its `with` block."""

    version: str = f"v{VERSION}.1"
    objects: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    denied: set[str] = field(default_factory=set)
    """What the user may not do: `list pods`, and `list pods *` for all namespaces."""
    account_denied: set[str] = field(default_factory=set)
    """What others, such as the pipeline's ServiceAccount, may not do; only reviews ask."""
    faults: dict[str, int] = field(default_factory=dict)
    """Path (a regular expression) -> status with which it is answered."""
    requests: list[tuple[str, str]] = field(default_factory=list)

    def add(self, resource: str, *objects: Mapping[str, Any]) -> None:
        """Put objects in; kind and version are filled in, and the schema is enforced."""
        for given in objects:
            version, kind = KINDS[resource]
            whole = {"apiVersion": version, "kind": kind, **given}
            if "argoproj.io" not in version:
                import kubernetes_validate

                kubernetes_validate.validate(whole, VERSION, strict=True)
            self.objects[resource].append(whole)

    def kubeconfig(self, folder: Path, token: str = TOKEN, host: str | None = None) -> Path:
        """A kubeconfig file that leads here."""
        file = folder / "kubeconfig"
        file.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "stand-in", "cluster": {"server": host or self.url}}],
                    "users": [{"name": "tester", "user": {"token": token}}],
                    "contexts": [{"name": "stand-in", "context": {"cluster": "stand-in", "user": "tester"}}],
                    "current-context": "stand-in",
                }
            )
        )
        return file

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"kube": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Refused(Exception):
    def __init__(self, code: int, reason: str, message: str) -> None:
        self.code, self.reason, self.message = code, reason, message


class _Handler(BaseHTTPRequestHandler):
    kube: KubeApiServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        self.kube.requests.append((self.command, path))
        try:
            for pattern, status in self.kube.faults.items():
                if re.fullmatch(pattern, path):
                    raise _Refused(status, "InternalError", "an error on the server has prevented the request")
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                raise _Refused(401, "Unauthorized", "Unauthorized")
            if self.command == "POST":
                self._send(201, self._review(path, body))
            else:
                self._send(200, self._read(path, parse_qs(parts.query, strict_parsing=bool(parts.query))))
        except _Refused as refused:
            status = {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": refused.message,
                "reason": refused.reason,
                "code": refused.code,
            }
            self._send(refused.code, status)

    def _send(self, code: int, content: Mapping[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _read(self, path: str, parameters: dict[str, list[str]]) -> dict[str, Any]:
        if path == "/version/":
            major, minor = self.kube.version.removeprefix("v").split(".")[:2]
            return {
                "major": major,
                "minor": minor,
                "gitVersion": self.kube.version,
                "gitCommit": "0" * 40,
                "gitTreeState": "clean",
                "buildDate": "2026-01-01T00:00:00Z",
                "goVersion": "go1.25",
                "compiler": "gc",
                "platform": "linux/amd64",
            }
        found = _PATH.fullmatch(path)
        if not found or found["resource"] not in KINDS:
            raise _Refused(404, "NotFound", "the server could not find the requested resource")
        resource, namespace, name = found["resource"], found["namespace"], found["name"]
        if KINDS[resource][0] != found["group"].removeprefix("apis/").removeprefix("api/"):
            raise _Refused(404, "NotFound", "the server could not find the requested resource")
        self._allow("get" if name else "list", resource, namespace)
        if unknown := set(parameters) - _PARAMETERS:
            raise _Refused(400, "BadRequest", f"unknown parameters {sorted(unknown)}")
        objects = [o for o in self.kube.objects[resource] if namespace in (None, o["metadata"].get("namespace"))]
        if name:
            for one in objects:
                if one["metadata"]["name"] == name:
                    return one
            raise _Refused(404, "NotFound", f'{resource} "{name}" not found')
        labels = _selector(parameters.get("labelSelector", [""])[0])
        fields = _selector(parameters.get("fieldSelector", [""])[0])
        for key, _, _ in fields:
            if key not in _FIELDS.get(resource, set()):
                raise _Refused(400, "BadRequest", f'field label not supported: "{key}"')
        items = [
            one
            for one in objects
            if all((one["metadata"].get("labels", {}).get(k) == v) == same for k, same, v in labels)
            and all((_field(one, k) == v) == same for k, same, v in fields)
        ]
        version, kind = KINDS[resource]
        return {"apiVersion": version, "kind": f"{kind}List", "metadata": {"resourceVersion": "1"}, "items": items}

    def _allow(self, verb: str, resource: str, namespace: str | None) -> None:
        everywhere = namespace is None and resource not in _CLUSTER_WIDE
        if f"{verb} {resource}{' *' if everywhere else ''}" in self.kube.denied:
            scope = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
            message = (
                f'{resource} is forbidden: User "tester" cannot {verb} resource "{resource}" '
                f'in API group "{_GROUPS.get(resource, "")}" {scope}'
            )
            raise _Refused(403, "Forbidden", message)

    def _review(self, path: str, body: bytes) -> dict[str, Any]:
        kinds = {
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews": "SelfSubjectAccessReview",
            "/apis/authorization.k8s.io/v1/subjectaccessreviews": "SubjectAccessReview",
        }
        if path not in kinds:
            raise _Refused(404, "NotFound", "the server could not find the requested resource")
        kind = kinds[path]
        review = json.loads(body)
        own = kind == "SelfSubjectAccessReview"
        if not own:
            self._allow("create", "subjectaccessreviews", "")
        spec = review.get("spec", {})
        attributes = spec.get("resourceAttributes", {})
        wrong = (
            review.get("kind", kind) != kind
            or set(review) - {"apiVersion", "kind", "metadata", "spec"}
            or set(spec) - ({"resourceAttributes"} if own else {"resourceAttributes", "user", "groups"})
            or set(attributes) - _REVIEW_FIELDS
            or not attributes.get("verb")
            or not attributes.get("resource")
            or "/" in attributes.get("resource", "")
            or (not own and not re.fullmatch(r"system:serviceaccount:[^:]+:[^:]+|[^:]+@[^:]+", spec.get("user", "")))
        )
        if wrong:
            raise _Refused(422, "Invalid", f"{kind} is invalid: {review}")
        resource = "/".join(filter(None, [attributes["resource"], attributes.get("subresource")]))
        everywhere = not attributes.get("namespace") and resource not in {*_CLUSTER_WIDE, "subjectaccessreviews"}
        asked = f"{attributes['verb']} {resource}{' *' if everywhere else ''}"
        allowed = asked not in (self.kube.denied if own else self.kube.account_denied)
        return {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec, "status": {"allowed": allowed}}


def _selector(text: str) -> list[tuple[str, bool, str]]:
    """Key, whether it must be equal, and value of each requirement."""
    found: list[tuple[str, bool, str]] = []
    for part in filter(None, text.split(",")):
        match = re.fullmatch(r"([^=!]+)(==|=|!=)([^=!]*)", part)
        if not match:
            raise _Refused(400, "BadRequest", f"unable to parse requirement: {part}")
        found.append((match[1], match[2] != "!=", match[3]))
    return found


def _field(one: Any, path: str) -> str:
    for part in path.split("."):
        one = one.get(part, {}) if isinstance(one, dict) else {}
    return one if isinstance(one, str) else ""
