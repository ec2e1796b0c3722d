"""A door in front of the real object store, for what a healthy SeaweedFS does not do: refuse, and ignore conditions.

Everything else is passed on to the store as it came, and its answers come back as they are.
"""

from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from seaweedfs import ADMIN, SeaweedFS

_CONDITIONS = ("If-Match", "If-None-Match")
_OF_THE_CONNECTION = {"connection", "content-length", "transfer-encoding", "date", "server"}


class S3Server:
    """Listens on loopback for as long as the `with` block runs."""

    def __init__(self, store: SeaweedFS) -> None:
        """Listen on a free port."""
        self.store = store
        self.ignores_conditions = False
        """Whether the store writes whatever the condition, as SeaweedFS up to 3.96 does."""
        self.refuses_with: tuple[str, str] | None = None
        """Status line and error code with which everything is answered."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"door": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None):
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    door: S3Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None: ...

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.door.refuses_with:
            status, code = self.door.refuses_with
            content = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
            number, _, reason = status.partition(" ")
            return self._send(number, reason, {"Content-Type": "application/xml"}, content)
        headers = dict(self.headers)
        if self.door.ignores_conditions and set(headers) & set(_CONDITIONS):
            headers = self._signed_without_conditions(headers, body)
        store = HTTPConnection(urlsplit(self.door.store.url).netloc, timeout=60)
        try:
            store.request(self.command, self.path, body, headers)
            answer = store.getresponse()
            self._send(str(answer.status), answer.reason, dict(answer.headers), answer.read())
        finally:
            store.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer

    def _signed_without_conditions(self, headers: dict[str, str], body: bytes) -> dict[str, str]:
        """The condition is part of what the client signed, so the rest is signed anew."""
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        kept = {name: value for name, value in headers.items() if name not in (*_CONDITIONS, "Authorization")}
        request = AWSRequest(self.command, f"http://{kept['Host']}{self.path}", kept, body)
        S3SigV4Auth(Credentials(*ADMIN.values()), "s3", "us-east-1").add_auth(request)
        return dict(request.headers)

    def _send(self, status: str, reason: str, headers: dict[str, str], content: bytes) -> None:
        self.send_response(int(status), reason)
        for name, value in headers.items():
            if name.lower() not in _OF_THE_CONNECTION:
                self.send_header(name, value)
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
