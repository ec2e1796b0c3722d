"""A stand-in for an image registry: real HTTP, the manifests endpoint of the OCI distribution API, nothing else."""

import base64
import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DIGEST = "sha256:" + "a" * 64


@dataclass
class Registry:
    """What it knows and whom it lets in."""

    host: str = ""
    images: set[str] = field(default_factory=set)
    """`name@sha256:...`."""
    asks_for: str | None = None
    """Bearer, Basic, or None where anybody may pull."""
    password: str | None = None
    """Of the user `puller`; None: the token service serves anybody."""
    answers: int | None = None
    """A status to answer everything with."""


@contextmanager
def serving(registry: Registry) -> Generator[Registry]:
    """Serve it on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"registry": registry}))
    registry.host = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    registry: Registry

    def log_message(self, format: str, *args: object) -> None: ...

    def do_HEAD(self) -> None:
        self._respond(self._manifest(), b"")

    def do_GET(self) -> None:
        expected = "/token?service=stand-in&scope=repository%3Alesionflow%2Fgpu%3Apull"
        known = self.registry.password is None or self.headers.get("Authorization") == self._basic()
        self._respond(200 if known and self.path == expected else 401, b'{"token": "a-token"}')

    def _manifest(self) -> int:
        registry = self.registry
        if registry.answers:
            return registry.answers
        wanted = {"Bearer": "Bearer a-token", "Basic": self._basic()}.get(registry.asks_for or "")
        if wanted and self.headers.get("Authorization") != wanted:
            return 401
        found = re.fullmatch(r"/v2/(.+)/manifests/(sha256:[0-9a-f]{64})", self.path)
        if not found or "application/vnd.oci.image.index.v1+json" not in self.headers.get("Accept", ""):
            return 404
        return 200 if f"{found[1]}@{found[2]}" in registry.images else 404

    def _basic(self) -> str:
        return "Basic " + base64.b64encode(f"puller:{self.registry.password}".encode()).decode()

    def _respond(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status == 401 and self.registry.asks_for:
            realm = (
                f'realm="http://{self.registry.host}/token",service="stand-in",scope="repository:lesionflow/gpu:pull"'
            )
            self.send_header("WWW-Authenticate", f"{self.registry.asks_for} {realm}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
