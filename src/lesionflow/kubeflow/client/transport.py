"""How requests travel to the Kubeflow Pipelines API: with time limits, repeated where that is safe, explained.

Every error is a `Refused` or an `Unanswered`, whose text is one sentence without a secret in it.
Both are `ApiException`s as well, so `error.status` can be asked and kfp's own client can handle them.
"""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from kfp_server_api import ApiException, Configuration
from kfp_server_api.rest import RESTClientObject
from urllib3 import Retry
from urllib3 import exceptions as http

from lesionflow.errors import ClusterError, UserError
from lesionflow.kubeflow.client.refusals import RBAC, why_forbidden, why_unknown

PAUSES = (0.5, 1.0, 2.0)
"""Seconds before the second, third and fourth try."""
LONGEST_PAUSE = 10.0
"""More than this is not waited when an overloaded server asks for it."""
TIME_LIMITS = (10.0, 60.0)
"""Seconds to connect and to wait for an answer; kfp's client would wait for ever."""


class _Explained(ApiException):
    """An error whose text is `sentence`. `status` is the HTTP status, 0 if there was no answer."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(status=status, reason=sentence)
        self.sentence = sentence
        self.body = b""  # kfp_server_api decodes it, and would break on the None it sets itself

    def __str__(self) -> str:
        return self.sentence


class Refused(_Explained, UserError):
    """The request was wrong: who asks, what is asked for, or where."""


class Unanswered(_Explained, ClusterError):
    """No answer, or a broken one. Whether the request took effect is unknown."""


@dataclass(frozen=True)
class Origin:
    """What an explanation needs to know of the connection."""

    address: str
    """URL of the API, for people."""
    credential: str
    """What was sent to prove who asks, in words."""
    secrets: Callable[[], list[str]] = field(repr=False)
    """Strings that must never be shown, a server's own words included."""


class Transport(RESTClientObject):
    """What sends the requests of kfp's generated API classes."""

    def __init__(self, configuration: Configuration, origin: Origin) -> None:
        # Here, so that a request that changes something is repeated only if it cannot have arrived. A redirect
        # is no answer either: it leads to a login page, whose text kfp_server_api takes for an empty result.
        cast(Any, configuration).retries = Retry(total=False)
        super().__init__(configuration)
        self.origin = origin

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        """Send a request and return its answer; see `RESTClientObject.request`.

        Raises:
            Refused: the server answered that the request is wrong.
            Unanswered: no usable answer, after as many tries as are safe.
        """
        options["_request_timeout"] = options.get("_request_timeout") or TIME_LIMITS
        headers = options.pop("headers", None) or {}
        whole = options.get("_preload_content", True)
        pauses = iter(PAUSES if whole else ())  # a log that is not there is an error 500 to KFP
        while True:
            try:
                # A copy: RESTClientObject takes the content type of an upload away.
                answer = super().request(method, url, *args, headers=dict(headers), **options)
                break
            except (ApiException, http.HTTPError) as error:
                pause = next(pauses, None)
                if pause is None or not _repeatable(method, error):
                    raise explain(error, self.origin) from None
                time.sleep(max(pause, _asked_pause(error)))
        if whole and not _is_json(answer.data):
            raise Refused(
                f"{self.origin.address} answered with a page instead of data: either it is not the Kubeflow "
                f"Pipelines API, or it wants you to sign in ({self.origin.credential}).",
                answer.status,
            )
        return answer


def _repeatable(method: str, error: ApiException | http.HTTPError) -> bool:
    """Whether a request may be sent again: it changes nothing, or it cannot have been handled."""
    if isinstance(error, http.NameResolutionError):
        return False  # a mistake in the settings
    if isinstance(error, ApiException):
        status = cast(int, error.status)
        return status == 429 or (status >= 500 and method == "GET")
    return method == "GET" or isinstance(error, http.NewConnectionError | http.ConnectTimeoutError)


def _asked_pause(error: ApiException | http.HTTPError) -> float:
    """Seconds after which an overloaded server wants to be asked again."""
    headers = dict(cast(Any, error).headers or {}) if isinstance(error, ApiException) else {}
    after = str(headers.get("Retry-After", ""))
    return min(float(after), LONGEST_PAUSE) if after.isdigit() else 0.0


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def explain(error: ApiException | http.HTTPError, origin: Origin) -> Refused | Unanswered:
    """Put what went wrong into one sentence, with the hint."""
    if isinstance(error, ApiException):
        return _explain_answer(error, origin)
    where = origin.address
    host = urlsplit(where).hostname
    match error:
        case http.NameResolutionError():
            return Refused(f"There is no host {host!r}; check the endpoint {where}.", 0)
        case http.NewConnectionError():
            return Refused(
                f"Nothing answers at {where}; check the endpoint, and that its port-forward or gateway is up.", 0
            )
        case http.TimeoutError():
            return Unanswered(f"{where} gave no answer in {TIME_LIMITS[1]:.0f} seconds; try again later.", 0)
        case _:
            return Unanswered(f"{where} closed the connection without an answer; try again later.", 0)


def _explain_answer(error: ApiException, origin: Origin) -> Refused | Unanswered:
    status, where = cast(int, error.status), origin.address
    said = _servers_words(error, origin)
    match status:
        case 0:  # the one thing that RESTClientObject translates: "SSLError\n[SSL: NAME] words (_ssl.c:1006)"
            reason = re.sub(r"\s*\(_ssl\.c:\d+\)|^.*\] ", "", origin_safe(str(error.reason), origin))
            return Refused(
                f"The TLS connection to {where} failed: {reason}; check the endpoint, and set `ca_file` to the "
                "authority that signed its certificate.",
                0,
            )
        case 401:
            hint = why_unknown(origin.credential, _whole_words(error))
            return Refused(f"{where} does not know who asks (401): {origin.credential}; {hint}.", 401)
        case 403:
            whole = _whole_words(error)
            hint = origin_safe(why_forbidden(origin.credential, whole), origin, 500)
            reason = "" if RBAC.search(whole) else f"{said or origin.credential}; "
            return Refused(f"{where} does not allow this (403): {reason}{hint}.", 403)
        case 404:
            return Refused(f"{where} has no such thing (404): {said or 'is it the Kubeflow Pipelines API?'}.", 404)
        case 429:
            return Unanswered(f"{where} is overloaded (429), {len(PAUSES) + 1} times in a row; try again later.", 429)
        case _ if 300 <= status < 400:
            return Refused(
                f"{where} leads elsewhere ({status}), most likely to a page to sign in ({origin.credential}); check "
                "the endpoint (http or https?) and how you sign in.",
                status,
            )
        case _ if status >= 500:
            return Unanswered(f"{where} is broken ({status}){f': {said}' if said else ''}; try again later.", status)
        case _:
            return Refused(f"{where} refused the request ({status}): {said or 'it gave no reason'}.", status)


def _servers_words(error: ApiException, origin: Origin) -> str:
    """The message in an answer's JSON body, short."""
    return origin_safe(_whole_words(error), origin)


def _whole_words(error: ApiException) -> str:
    """The message in an answer's JSON body, not fit to be shown; nothing of any other body, such as a proxy's page."""
    body = cast(Any, error).body or b""
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    message = answer.get("message") or answer.get("error") if isinstance(answer, dict) else ""
    return str(message or "")


def origin_safe(text: str, origin: Origin, most: int = 300) -> str:
    """`text` on one line, without secrets and final full stop, at most `most` characters."""
    for secret in origin.secrets():
        text = text.replace(secret, "***")
    text = " ".join(text.split()).rstrip(". ")
    return text if len(text) <= most else text[: most - 1] + "…"
