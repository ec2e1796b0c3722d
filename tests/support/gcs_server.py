"""A stand-in for Google Cloud Storage over real HTTP that enforces generations.

It is ours, not Google's, and knows only what lesionflow asks of a bucket's small objects: upload in one
request, download, metadata, listing. What it does not know it refuses. gcp-storage-emulator, which the
other tests use, knows much more but ignores `ifGenerationMatch`.
"""

import base64
import json
import socket
from contextlib import suppress
from email.parser import BytesParser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import google_crc32c
from faults import Faults

_KNOWN = frozenset(
    {"alt", "fields", "generation", "ifGenerationMatch", "maxResults", "prefix", "prettyPrint", "projection"}
    | {"uploadType"}
)


class GcsServer:
    """A server on loopback with the one bucket `bucket`, for as long as the `with` block runs."""

    def __init__(self) -> None:
        """Listen on a free port."""
        self.objects: dict[str, tuple[int, bytes]] = {}
        """Name -> generation and content."""
        self.faults = Faults()
        self._generations = count(1)
        self._lock = Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1  # one packet an answer

            def do_GET(self) -> None:
                outer._handle(self, b"")

            def do_POST(self) -> None:
                outer._handle(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *arguments: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            # A crowd connects at once; what does not fit the queue (5 by default) hangs for a minute.
            request_queue_size = 1024

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None):
        self._server.shutdown()
        self._server.server_close()

    def _handle(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        fault = self.faults.next()
        status, headers, answer = HTTPStatus.SERVICE_UNAVAILABLE, {}, b"{}"
        if fault not in ("503", "drop"):
            url = urlsplit(request.path)
            query = dict(parse_qsl(url.query, keep_blank_values=True))
            try:
                if unknown := set(query) - _KNOWN:
                    raise _Refused(HTTPStatus.BAD_REQUEST, f"unknown query {unknown}")
                with self._lock:
                    headers, answer = self._answer(request, unquote(url.path), query, body)
                status = HTTPStatus.OK
            except _Refused as refusal:
                status = refusal.status
                answer = json.dumps({"error": {"code": status, "message": str(refusal)}}).encode()
        if fault in ("drop", "drop-after"):
            request.close_connection = True
            with suppress(OSError):
                request.connection.shutdown(socket.SHUT_RDWR)
            return
        request.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": len(answer), **headers}.items():
            request.send_header(name, str(value))
        request.end_headers()
        request.wfile.write(answer)

    def _answer(
        self, request: BaseHTTPRequestHandler, path: str, query: dict[str, str], body: bytes
    ) -> tuple[dict[str, Any], bytes]:
        objects = "/storage/v1/b/bucket/o"
        if request.command == "POST" and path == f"/upload{objects}":
            return {}, json.dumps(self._upload(request.headers["Content-Type"], query, body)).encode()
        if path == objects:
            prefix = query.get("prefix", "")
            found = [self._metadata(name) for name in sorted(self.objects) if name.startswith(prefix)]
            return {}, json.dumps({"items": found}).encode()
        download = path.startswith("/download")
        name = path.removeprefix("/download").removeprefix(f"{objects}/")
        if name not in self.objects or path.removeprefix("/download") != f"{objects}/{name}":
            raise _Refused(HTTPStatus.NOT_FOUND, f"there is no {path}")
        generation, data = self.objects[name]
        if query.get("generation", str(generation)) != str(generation):
            raise _Refused(HTTPStatus.NOT_FOUND, f"there is no such generation of {name} any more")
        if not download:
            return {}, json.dumps(self._metadata(name)).encode()
        hashes = {"X-Goog-Hash": f"crc32c={_crc32c(data)}", "X-Goog-Generation": generation}
        return {**hashes, "Content-Type": "application/octet-stream"}, data

    def _upload(self, content_type: str, query: dict[str, str], body: bytes) -> dict[str, Any]:
        if query.get("uploadType") != "multipart":
            raise _Refused(HTTPStatus.BAD_REQUEST, "only multipart uploads")
        parts: Any = BytesParser().parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
        metadata, content = (part.get_payload(decode=True) for part in parts.get_payload())
        about = json.loads(metadata)
        if about.get("crc32c", _crc32c(content)) != _crc32c(content):
            raise _Refused(HTTPStatus.BAD_REQUEST, "the checksum is not that of the content")
        generation, _ = self.objects.get(about["name"], (0, b""))
        if "ifGenerationMatch" in query and int(query["ifGenerationMatch"]) != generation:
            raise _Refused(HTTPStatus.PRECONDITION_FAILED, f"the generation of {about['name']} is {generation}")
        self.objects[about["name"]] = (next(self._generations), content)
        return self._metadata(about["name"])

    def _metadata(self, name: str) -> dict[str, Any]:
        generation, data = self.objects[name]
        return {"name": name, "generation": str(generation), "size": str(len(data)), "crc32c": _crc32c(data)}


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


def _crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()
