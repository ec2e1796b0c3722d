"""A connected `kfp.Client`, by the credentials that Kubeflow's users already have."""

import os
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import kfp
from kfp_server_api import Configuration

from lesionflow.compat.kfp_client import PreparedClient
from lesionflow.errors import UserError
from lesionflow.kubeflow.client.dex import session_cookie
from lesionflow.kubeflow.client.refusals import KUBECONFIG, NOTHING
from lesionflow.kubeflow.client.settings import DEX_PASSWORD_VARIABLE, TOKEN_VARIABLE, ClusterSettings
from lesionflow.kubeflow.client.transport import Origin, Transport
from lesionflow.kubeflow.kube.cluster_access import kubernetes_client

__all__ = ["ClusterSettings", "connect", "run_url"]

PROJECTED_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")
"""Where a pod finds its token for the API: a projected one, audience pipelines.kubeflow.org."""

_IAP_TOKEN_LIFE = 45 * 60
"""Seconds after which a new identity token is fetched; they last an hour, a run may last longer."""


def connect(settings: ClusterSettings) -> kfp.Client:
    """Reach Kubeflow Pipelines and check that it answers.

    The credentials are the first of: the token in KFP_EXISTING_TOKEN, `token_file`, a Dex login, an
    identity token for `iap_client_id`, and the ServiceAccount token projected into this pod. Without an
    `endpoint`, and outside a pod, those of the kubeconfig: its API server lets no other pass.

    Args:
        settings: of `ClusterSettings.load`.

    Returns:
        A client whose every error is a `Refused` or an `Unanswered` (see `transport`).

    Raises:
        UserError: nothing answers there, or it refuses these credentials, or there are none.
        ClusterError: it does not give a usable answer.
    """
    configuration, reach = _destination(settings)
    words, cookie = _credentials(settings, configuration, reach)

    def secrets() -> list[str]:
        keys = [part for key in configuration.api_key.values() for part in str(key).split() if part != "Bearer"]
        return [*keys, *([cookie] if cookie else [])]

    transport = Transport(configuration, Origin(reach or configuration.host, words, secrets))
    return PreparedClient(configuration, cookie, settings.ui_endpoint or None, transport, settings.namespace)


def run_url(settings: ClusterSettings, run_id: str) -> str | None:
    """Where a browser shows a run; None if only this machine or pod reaches the API."""
    base = settings.ui_endpoint or settings.endpoint
    return f"{base}/#/runs/details/{run_id}" if base else None


def _destination(settings: ClusterSettings) -> tuple[Configuration, str]:
    """Where requests go, and how to say so if the address itself says little."""
    configuration = Configuration()
    configuration.ssl_ca_cert = cast(Any, str(settings.ca_file) if settings.ca_file else None)
    if settings.ca_file and not settings.ca_file.is_file():
        raise UserError(f"`ca_file` names {settings.ca_file}, which does not exist.")
    if settings.endpoint:
        configuration.host = settings.endpoint
        return configuration, ""
    service = f"ml-pipeline in namespace {settings.service_namespace}"
    if "KUBERNETES_SERVICE_HOST" in os.environ and settings.kube_context is None:
        configuration.host = f"http://ml-pipeline.{settings.service_namespace}.svc.cluster.local:8888"
        return configuration, ""
    return _through_kubernetes(settings), f"The service {service}, through the API server of your kubeconfig,"


def _through_kubernetes(settings: ClusterSettings) -> Configuration:
    """The API server's own proxy to the service: what `kubectl port-forward` is for, without kubectl.

    kfp 2.17 means to go this way too, but kubernetes' renewal of a token sets the host as well, back to the
    API server's own, before the first request.
    """
    try:
        given = kubernetes_client(settings.kube_context).configuration
    except UserError as error:
        raise UserError(f"No `endpoint` is set (--endpoint, KF_PIPELINES_ENDPOINT), and {_lower(str(error))}") from None
    configuration = Configuration()
    for name in ("ssl_ca_cert", "cert_file", "key_file", "verify_ssl", "assert_hostname", "proxy"):
        setattr(configuration, name, getattr(given, name))

    def renew(current: Configuration) -> None:
        if given.refresh_api_key_hook:
            given.refresh_api_key_hook(given)
        current.api_key, current.api_key_prefix = given.api_key, given.api_key_prefix

    renew(configuration)
    cast(Any, configuration).refresh_api_key_hook = renew
    path = f"api/v1/namespaces/{settings.service_namespace}/services/ml-pipeline:http/proxy"
    configuration.host = f"{given.host.rstrip('/')}/{path}"
    return configuration


def _credentials(settings: ClusterSettings, configuration: Configuration, reach: str) -> tuple[str, str | None]:
    """Put the credentials into `configuration`; return what they are, in words, and a cookie if they are one."""
    if reach:
        return KUBECONFIG, None
    given = settings.token or settings.token_file or settings.dex_username or settings.iap_client_id
    if given or PROJECTED_TOKEN.is_file():
        _check_private(configuration.host)
    if settings.token:
        token = _checked(settings.token.get_secret_value(), TOKEN_VARIABLE)
        _bear(configuration, lambda: token)
        return f"it was sent the token in {TOKEN_VARIABLE}", None
    if settings.token_file:
        return _token_file(settings.token_file, configuration), None
    if settings.dex_username:
        cookie = session_cookie(
            configuration.host, settings.dex_username, _dex_password(settings), settings.ca_file, settings.dex_host
        )
        return f"it was sent the Dex session of {settings.dex_username}", cookie
    if settings.iap_client_id:
        _bear(configuration, _renewed(lambda: _iap_token(settings.iap_client_id)))
        return "it was sent an identity token for IAP", None
    if PROJECTED_TOKEN.is_file():
        return _token_file(PROJECTED_TOKEN, configuration), None
    return NOTHING, None


def _check_private(endpoint: str) -> None:
    """Refuse to send credentials where anyone on the way can read them.

    Plain HTTP is for this machine, and for the cluster's own services, whose names nobody outside it resolves.
    """
    address = urlsplit(endpoint)
    name = address.hostname or ""
    try:
        inside = ip_address(name).is_loopback
    except ValueError:
        inside = "." not in name or name.endswith((".localhost", ".svc", ".svc.cluster.local"))
    if address.scheme != "https" and not inside:
        raise UserError(
            f"Credentials are not sent over plain HTTP to {name}; make the endpoint https://, or, in the cluster, "
            "the service's name as in http://ml-pipeline.kubeflow.svc:8888."
        )


def _bear(configuration: Configuration, token: Callable[[], str]) -> None:
    """Send what `token` returns, asked before every request."""

    def refresh(current: Configuration) -> None:
        current.api_key["authorization"] = token()

    configuration.api_key_prefix["authorization"] = "Bearer"
    cast(Any, configuration).refresh_api_key_hook = refresh
    refresh(configuration)  # nothing is sent at all unless there is a key from the start


def _token_file(file: Path, configuration: Configuration) -> str:
    def read() -> str:
        try:
            return _checked(file.read_text(encoding="utf-8"), str(file))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise UserError(f"The token file {file} cannot be read: {reason}.") from None

    _bear(configuration, read)
    return f"it was sent the token of {file}"


def _checked(token: str, where: str) -> str:
    """`token` without the line's end; what cannot stand in a header would end up in an error of http.client."""
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UserError(f"What is in {where} is not a bearer token.")
    return token


def _dex_password(settings: ClusterSettings) -> str:
    if settings.dex_password:
        return settings.dex_password.get_secret_value()
    if settings.dex_password_file is None:
        raise UserError(f"`dex_username` is set but no password; set {DEX_PASSWORD_VARIABLE} or `dex_password_file`.")
    try:
        return settings.dex_password_file.read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError):
        raise UserError(f"The password file {settings.dex_password_file} cannot be read.") from None


def _iap_token(client_id: str) -> str:
    from google.auth.exceptions import GoogleAuthError
    from kfp.client import auth
    from requests import RequestException

    names = ("KF_PIPELINES_APP_OAUTH2_CLIENT_ID", "KF_PIPELINES_APP_OAUTH2_CLIENT_SECRET")
    application, secret = (cast(Any, os.environ.get(name)) for name in names)
    try:
        token, _ = auth.get_auth_token(client_id, application, secret)
    except (GoogleAuthError, RequestException, ValueError):
        token = None
    if not token:  # kfp sends nothing then, and IAP answers with its login page
        raise UserError(
            "Google gave no identity token for IAP: run as a service account (GOOGLE_APPLICATION_CREDENTIALS), or set "
            f"{names[0]} and {names[1]} to those of a desktop client and log in."
        )
    return token


def _renewed(fetch: Callable[[], str]) -> Callable[[], str]:
    held: list[tuple[float, str]] = []

    def token() -> str:
        if not held or time.monotonic() - held[0][0] > _IAP_TOKEN_LIFE:
            held[:] = [(time.monotonic(), fetch())]
        return held[0][1]

    return token


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
