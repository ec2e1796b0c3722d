"""What is overridden in kfp's client is still there to be overridden, and is what it was.

That the client works is shown in tests/contract/kubeflow.
"""

from collections.abc import Callable
from typing import Any

import kfp
import pytest
from kfp_server_api.api_client import ApiClient
from replaced import unchanged

MODULE = "lesionflow.compat.kfp_client"


@pytest.mark.parametrize(
    ("library", "part", "digest", "stands_in"),
    [
        ("kfp", kfp.Client.__init__, "dd7346b6418d", "PreparedClient"),
        ("kfp", kfp.Client._load_config, "20d7d30cfae8", "PreparedClient"),
        ("kfp", kfp.Client._load_context_setting_or_default, "0224bf847c1d", "PreparedClient"),
        ("kfp-server-api", ApiClient.__init__, "eba6ce1cc3bc", "api_client_of"),
        ("kfp-server-api", ApiClient.request, "f4fdda369a2b", "api_client_of"),
        ("kfp-server-api", ApiClient.call_api, "2ced83a43684", "open_stream"),
    ],
)
def test_kfps_own_are_as_they_were(library: str, part: Callable[..., Any], digest: str, stands_in: str) -> None:
    unchanged(library, part, digest, f"{MODULE}.{stands_in}")
