"""kfp's client (2.17.0) without its surprises, which it offers no setting for.

tests/unit/compat/test_kfp_client.py holds what is overridden or reached for to kfp's present source.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, cast

import kfp
from kfp_server_api import Configuration


class PreparedClient(kfp.Client):
    """A client of a configuration that is made already.

    The original builds its own by rules of its own (`_load_config`): it falls back to http://localhost without a word
    if it finds no kubeconfig, and kubernetes' renewal of a token sets the host back to the API server's. It reads, and
    in a pod writes, ~/.config/kfp/context.json (`_load_context_setting_or_default`), so that a notebook decides where
    a command looks. It asks a dead server five times, with a traceback each, before it says so (`_healthz_api` is
    asked instead). And nothing else than replacing `rest_client` changes how its requests travel.
    """

    def __init__(
        self, configuration: Configuration, cookie: str | None, ui_host: str | None, rest_client: Any, namespace: str
    ) -> None:
        """Connect, and ask whether the server has several users.

        Args:
            configuration: host and credentials.
            cookie: of a session; None for none.
            ui_host: where the pages are, if elsewhere.
            rest_client: what sends requests; has the methods of `kfp_server_api.rest.RESTClientObject`.
            namespace: of this user. With several users lists must name one; with a single one they must not.
        """
        self._prepared = configuration
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # "only works with Kubeflow Pipelines v2"
            super().__init__(host=configuration.host, cookies=cookie, ui_host=ui_host)
        api_client_of(self).rest_client = rest_client
        several_users: bool | None = cast(Any, self)._healthz_api.healthz_service_get_healthz().multi_user
        self._context_setting = {"namespace": namespace if several_users else ""}

    def _load_config(self, *_: Any, **__: Any) -> Configuration:
        return self._prepared

    def _load_context_setting_or_default(self) -> None:
        self._context_setting = {"namespace": "not asked yet"}


def api_client_of(client: kfp.Client) -> Any:
    """The `ApiClient` that all generated classes of a client share; it has no other name than theirs of it."""
    return cast(Any, client)._run_api.api_client


def open_stream(client: kfp.Client, path: str, parameters: Mapping[str, str], time_limits: tuple[float, float]) -> Any:
    """Answer to a GET of a path that no generated class knows, as a stream of bytes.

    Args:
        client: connected.
        path: below the host, with the names of parameters in braces.
        parameters: of the path.
        time_limits: seconds to connect, and to wait for more.
    """
    call: Callable[..., Any] = api_client_of(client).call_api
    return call(
        path,
        "GET",
        path_params=dict(parameters),
        auth_settings=["Bearer"],
        _preload_content=False,
        _request_timeout=time_limits,
    )
