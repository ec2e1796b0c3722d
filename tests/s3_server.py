"""An S3 server over real HTTP: moto's, which keeps objects in memory.

moto does enforce If-Match and If-None-Match, but looks and writes without a lock; so that two
conditional writes at once are judged as by a real store, requests pass one at a time here.
"""

from collections.abc import Iterable
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Self

import requests

_CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")


class S3Server:
    """A server on loopback for as long as the `with` block runs."""

    def __init__(self) -> None:
        """Listen on a free port."""
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
        from werkzeug.serving import make_server

        self.ignores_conditions = False
        """Whether it writes whatever the condition, as old stores do."""
        self.refuses_with: tuple[str, str] | None = None
        """Status line and error code with which it answers everything."""
        self.writes = 0
        """Objects written so far."""
        self._moto: Any = DomainDispatcherApplication(create_backend_app)
        self._lock = Lock()
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=MotoRequestHandler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None):
        self._server.shutdown()
        self._server.server_close()

    def wipe(self) -> None:
        """Forget all buckets and peculiarities."""
        self.ignores_conditions, self.refuses_with, self.writes = False, None, 0
        requests.post(f"{self.url}/moto-api/reset").raise_for_status()

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with self._lock:
            if self.refuses_with:
                status, code = self.refuses_with
                start_response(status, [("Content-Type", "application/xml")])
                return [f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()]
            if self.ignores_conditions:
                for name in _CONDITIONS:
                    environ.pop(name, None)
            self.writes += environ["REQUEST_METHOD"] == "PUT"
            return list(self._moto(environ, start_response))
