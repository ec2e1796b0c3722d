"""Log in to a Kubeflow behind Dex with a user name and a password, as a browser would.

Kubeflow's own documentation logs in like this, as Dex has no other way for users it keeps itself.
"""

from pathlib import Path
from urllib.parse import urljoin, urlsplit

from lesionflow.errors import ClusterError, UserError

_TIME_LIMIT = 30


def session_cookie(endpoint: str, username: str, password: str, ca_file: Path | None = None, dex_host: str = "") -> str:
    """Log in and return the session as the value of a Cookie header; empty if nobody asks for a login.

    Args:
        endpoint: URL of Kubeflow Pipelines, which sends strangers to Dex.
        username: of a user that Dex keeps itself.
        password: of that user.
        ca_file: the authority that signed the endpoint's certificate.
        dex_host: where the login page is; empty for the endpoint's host.

    Raises:
        UserError: Dex refuses the two, or what answers is not Dex or is elsewhere.
        ClusterError: the endpoint does not answer.
    """
    import requests

    with requests.Session() as session:
        session.verify = str(ca_file) if ca_file else True
        try:
            page = session.get(endpoint, timeout=_TIME_LIMIT)
            path = urlsplit(page.url).path
            if page.status_code == 403 or path.endswith("/oauth2/sign_in"):  # oauth2-proxy asks for a click first
                start = urljoin(page.url, "/oauth2/start")
                page = session.get(start, params={"rd": urlsplit(endpoint).path or "/"}, timeout=_TIME_LIMIT)
            if page.status_code == 200 and not page.history:
                return ""
            path = urlsplit(page.url).path
            if path.endswith("/auth"):  # Dex offers several ways to log in
                way = urlsplit(page.url)._replace(path=f"{path}/local").geturl()
                page = session.get(way, timeout=_TIME_LIMIT)
            if "/auth/" not in page.url:
                raise UserError(f"{endpoint} sends strangers to {_bare(page.url)}, which is not a login page of Dex.")
            _check_page(endpoint, page.url, dex_host)
            form = {"login": username, "password": password}
            answer = session.post(page.url, data=form, timeout=_TIME_LIMIT, allow_redirects=False)
            if not answer.is_redirect:
                raise UserError(f"Dex does not accept the password of {username}.")
            # By hand: some redirects would have the password posted once more, anywhere.
            page = session.get(urljoin(page.url, answer.headers["Location"]), timeout=_TIME_LIMIT)
            if urlsplit(page.url).path.endswith("/approval"):
                session.post(page.url, data={"approval": "approve"}, timeout=_TIME_LIMIT)
        except requests.RequestException as error:
            raise ClusterError(f"The login at {endpoint} failed: {type(error).__name__}; check the endpoint.") from None
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in session.cookies)


def _check_page(endpoint: str, page: str, dex_host: str) -> None:
    """Refuse a login page that is not where the user expects it: redirects lead anywhere."""
    expected, found = urlsplit(endpoint), urlsplit(page)
    if expected.scheme == "https" != found.scheme:
        raise UserError(f"The login page {_bare(page)} of {endpoint} is not https; the password was not sent.")
    host = dex_host.lower() or expected.hostname
    if found.hostname != host:
        raise UserError(
            f"{endpoint} sends its login to {found.hostname}, not to {host}; the password was not sent, set "
            f"`dex_host: {found.hostname}` if that host is yours."
        )


def _bare(url: str) -> str:
    """Without the query, which holds one-time secrets of the login."""
    return urlsplit(url)._replace(query="", fragment="").geturl()
