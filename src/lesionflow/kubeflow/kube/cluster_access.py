"""The Kubernetes API as this user reaches it, with errors as one sentence."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lesionflow.errors import ClusterError, UserError

# Pairs: the client silently ignores a single number that is not an int.
TIMEOUT = (3.05, 10.0)
"""Seconds to connect, seconds for an answer."""


class Denied(Exception):
    """This user may not ask that, so nothing is known about it. The message is the API's."""


class Missing(Exception):
    """There is no such object."""


def kubernetes_client(context: str | None = None) -> Any:
    """A client for the Kubernetes API. Nothing is sent yet.

    Args:
        context: of the kubeconfig; None for the current one.

    Returns:
        An `ApiClient` of the kubernetes library: configured by the file that KUBECONFIG names, else
        ~/.kube/config, else by the ServiceAccount of the pod this runs in.

    Raises:
        UserError: there is none of these, or the file is not valid.
    """
    from kubernetes import client, config
    from yaml import YAMLError

    files = os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
    settings: Any = client.Configuration()
    # Objects of newer servers may lack what this library's version believes to be required.
    settings.client_side_validation = False
    settings.retries = False
    if any(Path(file).is_file() for file in files.split(os.pathsep) if file):
        try:
            config.load_kube_config(files, context=context, client_configuration=settings)
        except (config.ConfigException, YAMLError, TypeError, KeyError) as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise UserError(f"The kubeconfig {files} cannot be used ({reason}); correct it, or KUBECONFIG.") from None
    elif "KUBERNETES_SERVICE_HOST" in os.environ and context is None:
        try:
            config.load_incluster_config(client_configuration=settings)
        except config.ConfigException as error:
            raise UserError(f"This pod's ServiceAccount cannot be used: {error}; mount its token.") from None
    else:
        raise UserError(f"There is no kubeconfig at {files}; set KUBECONFIG, or log in to the cluster with its tool.")
    return client.ApiClient(settings)


def call_kubernetes(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a method of the client, with a short timeout.

    Returns:
        What it returned.

    Raises:
        Denied: this user lacks the permission.
        Missing: there is no such object.
        ClusterError: the API does not answer, or has a fault.
        UserError: it refuses the credentials.
    """
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    host = getattr(call, "__self__").api_client.configuration.host  # noqa: B009
    try:
        return call(*arguments, _request_timeout=TIMEOUT, **options)
    except ApiException as error:
        sentence = _sentence(error)
        if error.status == 403:
            raise Denied(sentence) from None
        if error.status == 404:
            raise Missing(sentence) from None
        if error.status == 401:
            raise UserError(
                f"The Kubernetes API at {host} refuses these credentials; log in to the cluster again."
            ) from None
        raise ClusterError(
            f"The Kubernetes API at {host} answers {error.status} ({sentence}); try again, or ask its administrators."
        ) from None
    except (HTTPError, OSError) as error:
        raise ClusterError(
            f"The Kubernetes API at {host} does not answer ({type(error).__name__}); "
            "check the network (VPN, firewall) and the address in the kubeconfig."
        ) from None


def _sentence(error: Any) -> str:
    """The message of a Status object, or the bare reason."""
    try:
        return str(json.loads(error.body)["message"])
    except (ValueError, TypeError, KeyError):
        return str(error.reason)
