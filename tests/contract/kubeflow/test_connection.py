"""Reaching the API over real HTTP, with each kind of credentials, and what is said when it fails."""

import re
import socket
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import kfp
import pytest
import yaml
from in_process import TOKEN
from kfp_api.server import KfpApiServer

from lesionflow.errors import ClusterError, UserError
from lesionflow.kubeflow.client import connection
from lesionflow.kubeflow.client.connection import connect
from lesionflow.kubeflow.client.settings import ClusterSettings


class Door(ThreadingHTTPServer):
    """Not Kubeflow: answers every request in the one way that the test chose, e.g. as a proxy with a login would."""

    status, kind, body = 200, "text/html", "<html>Sign in</html>"
    location = ""
    echo = False
    """Answer with the request's own Authorization header, as a careless proxy would."""


@pytest.fixture
def door() -> Generator[Door]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert isinstance(self.server, Door)
            said = self.server.body
            if self.server.echo:
                said = f'{{"message": "bad header {self.headers["Authorization"]} for you"}}'
            self.send_response(self.server.status)
            self.send_header("Content-Type", self.server.kind)
            self.send_header("Content-Length", str(len(said)))
            if self.server.location:
                self.send_header("Location", self.server.location)
            self.end_headers()
            self.wfile.write(said.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = Door(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def url(server: Door) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def refusal(settings: ClusterSettings, kind: type[Exception] = UserError) -> str:
    with pytest.raises(kind) as refused:
        connect(settings)
    sentence = str(refused.value)
    assert "\n" not in sentence
    assert TOKEN not in sentence
    error = refused.value
    assert error.__context__ is None or error.__suppress_context__, "would show what the sentence leaves out"
    return sentence


def test_a_connected_client_is_kfps(api: KfpApiServer) -> None:
    client = connect(ClusterSettings.load())
    assert isinstance(client, kfp.Client)
    assert client.list_runs().runs is None
    assert TOKEN not in repr(vars(client))


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (401, UserError, "does not know who asks (401): it was sent the token in KFP_EXISTING_TOKEN"),
        (404, UserError, "no such thing (404)"),
        (429, ClusterError, "overloaded (429), 4 times in a row"),
        (500, ClusterError, "is broken (500): injected by the test"),
        ("drop", ClusterError, "closed the connection"),
    ],
)
def test_each_failure_is_one_sentence(api: KfpApiServer, fault: Any, kind: type[Exception], words: str) -> None:
    api.fail_next("GET", "healthz", fault, times=100)
    assert words in refusal(ClusterSettings.load(), kind)


@pytest.mark.parametrize("fault", [429, 500, "drop"])
def test_a_moments_failure_is_not_noticed(api: KfpApiServer, fault: Any) -> None:
    api.fail_next("GET", "healthz", fault, times=3)
    connect(ClusterSettings.load())
    assert len(api.requests) == 4


@pytest.mark.parametrize("fault", [500, "drop", "drop-after"])
def test_what_changes_something_is_not_repeated(api: KfpApiServer, fault: Any) -> None:
    client = connect(ClusterSettings.load())
    before = len(api.requests)
    api.fail_next("POST", "experiments", fault)
    with pytest.raises(ClusterError):
        client.create_experiment("one")
    assert [method for method, *_ in api.requests[before:]].count("POST") == 1


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "Nothing answers" in refusal(ClusterSettings.load(endpoint=f"http://127.0.0.1:{port}"))


def test_no_such_host() -> None:
    assert "no host 'nowhere.invalid'" in refusal(ClusterSettings.load(endpoint="https://nowhere.invalid"))


def test_tls_to_a_server_without(api: KfpApiServer) -> None:
    assert "TLS" in refusal(ClusterSettings.load(endpoint=api.url.replace("http:", "https:")))


def test_a_login_page_is_not_an_empty_answer(door: Door) -> None:
    # kfp's own client reads an empty list out of it.
    assert "answered with a page" in refusal(ClusterSettings.load(endpoint=url(door)))


def test_a_way_to_a_login_page_is_not_followed(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFP_EXISTING_TOKEN", TOKEN)
    door.status, door.location = 302, "https://login.example.com/?state=hunter2"
    sentence = refusal(ClusterSettings.load(endpoint=url(door)))
    assert "leads elsewhere (302)" in sentence
    assert "hunter2" not in sentence


@pytest.mark.parametrize("status", [400, 401, 403, 500])
def test_a_server_that_repeats_the_token(door: Door, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setenv("KFP_EXISTING_TOKEN", TOKEN)
    door.status, door.echo, door.kind = status, True, "application/json"
    refusal(ClusterSettings.load(endpoint=url(door)), ClusterError if status == 500 else UserError)


@pytest.mark.parametrize("token", ["two words", "two\nlines", "für", "\x00"])
def test_what_is_no_token_is_not_shown(tmp_path: Path, api: KfpApiServer, token: str) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}{token}")
    with pytest.raises(UserError, match="is not a bearer token") as refused:
        connect(ClusterSettings(endpoint=api.url, token_file=file))
    assert TOKEN not in str(refused.value)


def test_a_token_file_is_read_anew(tmp_path: Path, api: KfpApiServer) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    settings = ClusterSettings(endpoint=api.url, token_file=file)
    assert f"it was sent the token of {file}" in refusal(settings)
    file.write_text(f"{TOKEN}\n")
    client = connect(settings)
    file.write_text("old\n")
    with pytest.raises(UserError, match="401"):
        client.list_runs()


def test_a_missing_token_file(tmp_path: Path, api: KfpApiServer) -> None:
    assert "No such file" in refusal(ClusterSettings(endpoint=api.url, token_file=tmp_path / "none"))


def test_the_projected_token_of_a_pod(tmp_path: Path, api: KfpApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PROJECTED_TOKEN", tmp_path / "token")
    (tmp_path / "token").write_text(TOKEN)
    connect(ClusterSettings(endpoint=api.url))


def test_kfps_own_context_file_is_not_read(tmp_path: Path, api: KfpApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "context.json").write_text('{"namespace": "a-notebooks"}')
    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    client = connect(ClusterSettings.load())
    client.list_runs()
    assert not any(re.search("namespace=[^&]", path) for _, path, _ in api.requests)


class ApiServerWithProxy(KfpApiServer):
    """Also stands in for a Kubernetes API server's proxy to the service ml-pipeline."""

    def route(self, method: str, target: str, body: Any) -> Any:
        return super().route(
            method, target.removeprefix("/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy"), body
        )


def test_through_the_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ApiServerWithProxy(token=TOKEN) as server:
        kubeconfig = {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": server.url}}],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        client = connect(ClusterSettings.load())
        client.create_experiment("one")
        assert all(path.startswith("/api/v1/namespaces/kubeflow/services/") for _, path, _ in server.requests)
        server.fail_next("GET", "runs", 401)
        with pytest.raises(UserError, match="the credentials of your kubeconfig") as refused:
            client.list_runs()
        assert TOKEN not in str(refused.value)


def test_no_endpoint_and_no_kubeconfig() -> None:
    assert "--endpoint" in refusal(ClusterSettings.load())


def test_iap_without_google_credentials(api: KfpApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kfp would go on without a token. The key file is an empty fake."""
    (tmp_path / "key.json").write_text("{}")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    assert "no identity token for IAP" in refusal(ClusterSettings(endpoint=api.url, iap_client_id="client"))


@pytest.mark.parametrize(
    "host", ["kubeflow.example.com", "10.0.0.7:8888", "ml-pipeline.kubeflow:8888", "x.svc.example.com"]
)
@pytest.mark.parametrize("kind", ["token", "token_file", "dex_username", "iap_client_id", "projected"])
def test_credentials_do_not_travel_in_the_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, kind: str
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    given: dict[str, Any] = {kind: tmp_path / "token" if kind == "token_file" else TOKEN}
    if kind == "projected":
        given = {}
        monkeypatch.setattr(connection, "PROJECTED_TOKEN", tmp_path / "token")
    sentence = refusal(ClusterSettings(endpoint=f"http://{host}", **given))
    assert f"not sent over plain HTTP to {host.partition(':')[0]};" in sentence


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://kubeflow.example.com", "http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost:8080",
        "http://ml-pipeline:8888", "http://ml-pipeline.kubeflow.svc:8888",
        "http://ml-pipeline.kubeflow.svc.cluster.local:8888",
    ],
)  # fmt: skip
def test_where_credentials_may_go(endpoint: str) -> None:
    connection._check_private(endpoint)
