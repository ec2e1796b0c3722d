"""A stand-in for the Kubeflow Pipelines API server, for tests: real HTTP, KFP's v2beta1 paths, everything in memory.

It is not Kubeflow Pipelines: nothing runs, nothing is scheduled, a test sets the states itself. What it answers is held
to what the real server said by `test_recordings.py`; README.md says what it cannot do. What it takes more seriously
than the real one is what a client may send: every body is checked against the generated `kfp_server_api` models, and
fields that only the server may set are refused, cron must have six fields (the real one accepts five and misreads
them), and a run or recurring run must name its experiment and say whether it is enabled.
"""

import email
import email.policy
import json
import re
import socket
import threading
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from kfp_api import strict, words
from kfp_api.resources import FINISHED, NEVER, Resources, Text, now
from kfp_api.strict import ApiError, UnknownField

Fault = Literal[500, 401, 404, 409, 429, "drop", "drop-after"]


class KfpApiServer(Resources):
    """Serves on loopback while the `with` block lasts.

    Attributes:
        url: where, for `kfp.Client(host=...)`.
        requests: each request so far: method, path with query, body (of an upload: {"uploadfile": text}).
        pipelines, versions, experiments, runs, recurring_runs: id -> what the server would answer, oldest first.
        after_request: called after each request, before it is answered; to watch an invariant.
    """

    def __init__(self, token: str | None = None) -> None:
        """With `token`, requests without this bearer token get 401."""
        super().__init__()
        self.requests: list[tuple[str, str, Any]] = []
        self.after_request: Callable[[], None] = lambda: None
        self._token = token
        self._faults: list[list[Any]] = []
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def fail_next(self, method: str, path_regex: str, how: Fault, times: int = 1) -> None:
        """Let the next `times` requests whose path contains `path_regex` fail.

        A status is answered and "drop" hangs up without any effect; "drop-after" does what was asked and hangs up,
        so that the client cannot know. (urllib3 by itself repeats a dropped GET or DELETE up to three times.)
        """
        self._faults.append([method, path_regex, how, times])

    def clear(self) -> None:
        """Forget everything but pipelines and their versions, for a test that needs many fresh starts."""
        for kept in (self.experiments, self.runs, self.recurring_runs, self.requests, self._faults, self._logs):
            kept.clear()
        self.after_request = lambda: None

    def set_run(self, run_id: str, state: str, tasks: list[dict[str, Any]] | None = None) -> None:
        """Set the state of a run and its task details (`V2beta1PipelineTaskDetail`), as `argo.details` has them.

        Past 1 MB of the Workflow the real server no longer renews the details: a test sets the state alone then.
        """
        run = self.runs[run_id]
        strict.model("V2beta1RuntimeState", state)
        if state == "PENDING":  # as soon as there is a Workflow, and until it has begun, a run has no state
            run.pop("state", None)
        else:
            run["state"] = state
        run["finished_at"] = now() if state in FINISHED else NEVER
        run["state_history"] = [*run.get("state_history", []), {"update_time": now(), "state": state}]
        if tasks is not None:
            details = [{"run_id": run_id, "task_id": str(uuid.uuid4()), **task} for task in tasks]
            for task in details:
                strict.model("V2beta1PipelineTaskDetail", task)
                if unreal := {"pod_name", "error", "inputs", "outputs"} & task.keys():
                    raise ValueError(f"the real server never fills {', '.join(sorted(unreal))}")
            run["run_details"] = {"task_details": details}

    def add_version(self, pipeline_id: str, name: str, package: str) -> str:
        """Upload a version; returns its id."""
        return self._new_version(pipeline_id, {"name": name}, strict.package(package.encode()))["pipeline_version_id"]

    def set_log(self, run_id: str, pod: str, text: str) -> None:
        """Set what the log endpoint tells of a pod."""
        self._logs[run_id, pod] = text

    def answer(self, method: str, target: str, token: str, body: bytes, content_type: str) -> tuple[int, str, str]:
        """Status, text and content type to answer to a request; status 0 means to hang up."""
        with self._lock:
            fault: Fault | None = None
            try:
                parsed = _body(body, content_type)
                self.requests.append((method, target, parsed))
                fault = self._fault(method, target)
                if fault == "drop":
                    return 0, "", ""
                if isinstance(fault, int):
                    raise ApiError(fault, "injected by the test")
                if self._token is not None and token != f"Bearer {self._token}":
                    raise words.unauthenticated(token, dict(parse_qsl(urlsplit(target).query)).get("namespace", ""))
                answer = self.route(method, target, parsed)
                status, kind = 200, "text/plain; charset=utf-8" if isinstance(answer, Text) else "application/json"
                text = answer if isinstance(answer, Text) else json.dumps(answer)
            except ApiError as error:
                refusal = error.at(body) if isinstance(error, UnknownField) else error
                status, text, kind = error.status, json.dumps(refusal.body()), "application/json"
            finally:
                self.after_request()
            return (0, "", "") if fault == "drop-after" else (status, text, kind)

    def _fault(self, method: str, target: str) -> Fault | None:
        for fault in self._faults:
            if fault[0] == method and re.search(fault[1], target) and fault[3] > 0:
                fault[3] -= 1
                return fault[2]
        return None


def _body(body: bytes, content_type: str) -> Any:
    if content_type.startswith("multipart/form-data"):
        head = f"Content-Type: {content_type}\r\n\r\n".encode()
        message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
        return {
            str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True).decode()
            for part in message.iter_parts()
        }
    try:
        return json.loads(body) if body else None
    except ValueError:
        raise ApiError(400, "the body is not JSON") from None


def _handler(api: KfpApiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Headers and body leave as two packets; without this each answer waits for a delayed acknowledgement.
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token, sent = self.headers.get("Authorization", ""), self.headers.get("Content-Type", "")
            status, text, kind = api.answer(self.command, self.path, token, body, sent)
            if not status:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_DELETE = do_PATCH = do_PUT = _serve

    return Handler
