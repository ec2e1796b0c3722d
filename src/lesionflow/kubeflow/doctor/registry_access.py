"""Whether an image is in its registry, by the OCI distribution API, without pulling it."""

from typing import Any

_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_TIMEOUT = (3.05, 10.0)


class ImageMissing(Exception):
    """The registry has no such image."""


class RegistryUnknown(Exception):
    """The registry cannot be asked from here; the cluster may be able to. The message says why."""


def find_image(image: str) -> None:
    """Ask the registry for an image's manifest, with the credentials that `docker login` stored, if any.

    Args:
        image: `repository@sha256:...`.

    Raises:
        ImageMissing: the registry answers, and has no such image.
        RegistryUnknown: it does not answer, or not to us.
    """
    import requests
    from docker.auth import INDEX_NAME, resolve_repository_name

    repository, _, digest = image.partition("@")
    registry, name = resolve_repository_name(repository)
    if registry == INDEX_NAME:  # the one registry whose API has another name than its images
        host, name = f"registry-1.{INDEX_NAME}", name if "/" in name else f"library/{name}"
    else:
        host = registry
    # As Docker does: only a registry on this machine may speak plain HTTP.
    scheme = "http" if host.split(":")[0] in ("localhost", "127.0.0.1") else "https"
    url = f"{scheme}://{host}/v2/{name}/manifests/{digest}"
    credentials = _credentials(registry)
    try:
        with requests.Session() as session:
            answer = session.head(url, headers={"Accept": _MANIFESTS}, timeout=_TIMEOUT, allow_redirects=True)
            if answer.status_code == 401:
                prove = _authorization(session, answer.headers.get("WWW-Authenticate", ""), credentials, scheme)
                answer = session.head(
                    url, headers={"Accept": _MANIFESTS}, auth=prove, timeout=_TIMEOUT, allow_redirects=True
                )
    except requests.RequestException as error:
        raise RegistryUnknown(f"{registry} does not answer this machine ({type(error).__name__})") from None
    if answer.status_code == 404:
        raise ImageMissing(f"{registry} has no image {name}@{digest}")
    if answer.status_code in (401, 403):
        whose = "the credentials that docker login stored" if credentials else "anonymous pulls"
        raise RegistryUnknown(f"{registry} refuses {whose}")
    if answer.status_code != 200:
        raise RegistryUnknown(f"{registry} answers {answer.status_code}")


def _credentials(registry: str) -> tuple[str, str] | None:
    """User and password from Docker's configuration or its credential helper."""
    from docker.auth import load_config
    from docker.errors import DockerException

    try:
        found: dict[str, Any] = load_config().resolve_authconfig(registry) or {}
    except DockerException as error:
        raise RegistryUnknown(f"Docker's credential helper for {registry} fails ({type(error).__name__})") from None
    username, password = found.get("username") or found.get("Username"), found.get("password") or found.get("Password")
    return (username, password) if username and password else None


def _authorization(session: Any, challenge: str, credentials: tuple[str, str] | None, scheme: str) -> Any:
    """What proves to requests' satisfaction who asks, after a 401: the credentials themselves, or a token for them."""
    import requests
    from requests.utils import parse_dict_header

    kind, _, rest = challenge.partition(" ")
    if kind.lower() == "basic" and credentials:
        return credentials
    fields = parse_dict_header(rest)
    realm = fields.pop("realm", "")
    if kind.lower() != "bearer" or not realm.startswith(f"{scheme}://"):
        raise RegistryUnknown("the registry asks for credentials, and docker login has stored none for it")
    answer = session.get(
        realm,
        params={name: value for name, value in fields.items() if name in ("service", "scope")},
        auth=credentials,
        timeout=_TIMEOUT,
    )
    if answer.status_code != 200:
        raise RegistryUnknown(f"the registry's token service answers {answer.status_code}")
    try:
        content = answer.json()
        token = f"Bearer {content.get('token') or content['access_token']}"
    except (requests.JSONDecodeError, KeyError, AttributeError):
        raise RegistryUnknown("the registry's token service gives no token") from None

    def bear(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = token
        return request

    return bear
