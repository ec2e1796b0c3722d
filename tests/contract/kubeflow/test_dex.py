"""Logging in through Dex, against a stand-in that asks for what oauth2-proxy and Dex ask for, and nothing more."""

from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest
from kfp_api.server import KfpApiServer

from lesionflow.errors import ClusterError, UserError
from lesionflow.kubeflow.client.connection import connect
from lesionflow.kubeflow.client.dex import session_cookie
from lesionflow.kubeflow.client.settings import ClusterSettings

PASSWORD = "hunter2-and-more"


class Dex(ThreadingHTTPServer):
    """Who has no session is sent through oauth2-proxy to Dex's login form and back."""

    several_ways = True
    approval = True
    sign_in_page = True
    login_at = ""
    """Elsewhere, where the login page is."""
    asks_again_at = ""
    """Elsewhere, where the login is to be posted once more."""


class Handler(BaseHTTPRequestHandler):
    server: Dex

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        signed_in = "oauth2_proxy_kubeflow=session" in self.headers.get("Cookie", "")
        if path == "/oauth2/start":
            self._redirect("/dex/auth" if self.server.several_ways else "/dex/auth/local/login?state=s")
        elif path == "/dex/auth/local":
            self._redirect(f"{self.server.login_at}/dex/auth/local/login?state=s")
        elif path == "/oauth2/callback":
            self._redirect("/pipeline/", cookie="oauth2_proxy_kubeflow=session; Path=/")
        elif path.startswith("/pipeline") and not signed_in:
            self._answer(403, "Sign in") if self.server.sign_in_page else self._redirect("/oauth2/start")
        else:
            self._answer(200, "{}")

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        path = urlsplit(self.path).path
        if self.server.asks_again_at:
            self._redirect(self.server.asks_again_at, status=307)
        elif path == "/dex/approval" and form == {"approval": ["approve"]}:
            self._redirect("/oauth2/callback")
        elif path == "/dex/auth/local/login" and form == {"login": ["me@example.com"], "password": [PASSWORD]}:
            self._redirect("/dex/approval" if self.server.approval else "/oauth2/callback")
        else:
            self._answer(200, "Invalid Email Address and password.")

    def _redirect(self, where: str, cookie: str = "", status: int = 303) -> None:
        self.send_response(status)
        self.send_header("Location", where)
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def dex() -> Generator[Dex]:
    server = Dex(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def url(server: Dex) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/pipeline"


@pytest.mark.parametrize("several_ways", [True, False])
@pytest.mark.parametrize("approval", [True, False])
@pytest.mark.parametrize("sign_in_page", [True, False])
def test_the_session_opens_the_door(dex: Dex, several_ways: bool, approval: bool, sign_in_page: bool) -> None:
    dex.several_ways, dex.approval, dex.sign_in_page = several_ways, approval, sign_in_page
    assert session_cookie(url(dex), "me@example.com", PASSWORD) == "oauth2_proxy_kubeflow=session"


def test_a_client_with_that_session(dex: Dex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LESIONFLOW_DEX_PASSWORD", PASSWORD)
    client = connect(ClusterSettings.load(endpoint=url(dex), dex_username="me@example.com"))
    assert client.list_runs().runs is None


def test_a_wrong_password(dex: Dex) -> None:
    with pytest.raises(UserError, match=r"^Dex does not accept the password of me@example\.com\.$"):
        session_cookie(url(dex), "me@example.com", "wrong")


def test_no_password() -> None:
    with pytest.raises(UserError, match="LESIONFLOW_DEX_PASSWORD or `dex_password_file`"):
        connect(ClusterSettings(endpoint="https://nowhere.invalid", dex_username="me@example.com"))


def test_nobody_asks_for_a_login() -> None:
    with KfpApiServer() as api:
        assert session_cookie(f"{api.url}/apis/v2beta1/healthz", "me", PASSWORD) == ""


def test_what_is_not_dex(api: KfpApiServer) -> None:
    with pytest.raises(UserError, match="not a login page of Dex"):
        session_cookie(api.url, "me", PASSWORD)


def test_nobody_there() -> None:
    with pytest.raises(ClusterError, match="ConnectionError") as failed:
        session_cookie("http://nowhere.invalid", "me", PASSWORD)
    assert PASSWORD not in str(failed.value)


@pytest.fixture
def elsewhere() -> Generator[Dex]:
    """A second server, to which the first leads."""
    server = Dex(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_the_password_goes_to_no_other_host(dex: Dex, elsewhere: Dex, monkeypatch: pytest.MonkeyPatch) -> None:
    posted: list[str] = []
    post = Handler.do_POST
    monkeypatch.setattr(Handler, "do_POST", lambda self: (posted.append(self.headers["Host"]), post(self)))
    other = f"localhost:{elsewhere.server_address[1]}"
    dex.login_at = f"http://{other}"
    with pytest.raises(
        UserError, match=r"login to localhost, not to 127\.0\.0\.1; .* not sent, set `dex_host: localhost`"
    ):
        session_cookie(url(dex), "me@example.com", PASSWORD)
    assert not posted
    session_cookie(url(dex), "me@example.com", PASSWORD, dex_host="localhost")
    assert set(posted) == {other}


def test_the_password_is_not_posted_again_where_a_redirect_leads(
    dex: Dex, elsewhere: Dex, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted: list[str] = []
    post = Handler.do_POST
    monkeypatch.setattr(Handler, "do_POST", lambda self: (posted.append(self.headers["Host"]), post(self)))
    dex.asks_again_at = f"http://127.0.0.1:{elsewhere.server_address[1]}/dex/auth/local/login"
    session_cookie(url(dex), "me@example.com", PASSWORD)
    assert len(posted) == 1


def test_a_login_page_without_https() -> None:
    from lesionflow.kubeflow.client.dex import _check_page

    _check_page("https://k.example.com/pipeline", "https://k.example.com/dex/auth/local", "")
    with pytest.raises(UserError, match=r"http://k\.example\.com/dex of .* is not https; the password was not sent"):
        _check_page("https://k.example.com/pipeline", "http://k.example.com/dex?state=secret", "")
