"""A stand-in for the kubelet, of which the API server wants the logs of containers. Nothing runs on it."""

import ssl
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


class Kubelet:
    """Answers the API server over HTTPS on loopback for as long as the `with` block runs."""

    def __init__(self, certificate: Path) -> None:
        """Prepare.

        Args:
            certificate: of whomever, with its key beside it: the API server does not look at it.
        """
        self.logs: dict[tuple[str, str], list[str]] = {}
        """Name of the pod, name of the container -> what it printed, line by line."""
        self.running: set[str] = set()
        """Pods whose log goes on: who follows it waits for more."""
        self.asked: list[str] = []
        """The paths, with their queries."""
        handler = type("Handler", (_Handler,), {"kubelet": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None):
        self.running.clear()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    kubelet: Kubelet
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_GET(self) -> None:
        """`/containerLogs/NAMESPACE/POD/CONTAINER?follow=true`."""
        self.kubelet.asked.append(self.path)
        parts = urlsplit(self.path)
        *_, pod, container = parts.path.split("/")
        lines = self.kubelet.logs.get((pod, container))
        self.send_response(200 if lines is not None else 400)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if lines is None:
            self._chunk(f'container "{container}" in pod "{pod}" is waiting to start: ContainerCreating')
        else:
            sent = 0
            follow = "true" in parse_qs(parts.query).get("follow", [])
            while sent < len(lines) or (follow and pod in self.kubelet.running):
                for line in lines[sent:]:
                    self._chunk(line)
                    sent += 1
                time.sleep(0.01)
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, text: str) -> None:
        data = text.encode()
        if data:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()
