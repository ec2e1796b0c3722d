"""The real Kubernetes that `scripts/cluster` starts, as its administrator sees it."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

SCRIPT = Path(__file__).parents[3] / "scripts" / "cluster"
_PLURALS = {
    "namespaces": "api/v1",
    "nodes": "api/v1",
    "clusterroles": "apis/rbac.authorization.k8s.io/v1",
    "clusterrolebindings": "apis/rbac.authorization.k8s.io/v1",
    "roles": "apis/rbac.authorization.k8s.io/v1",
    "rolebindings": "apis/rbac.authorization.k8s.io/v1",
    "workflows": "apis/argoproj.io/v1alpha1",
    "endpointslices": "apis/discovery.k8s.io/v1",
}
_CLUSTER_WIDE = {"namespaces", "nodes", "clusterroles", "clusterrolebindings"}


@contextmanager
def running(folder: Path) -> Generator[Path]:
    """The administrator's kubeconfig of a running cluster: the one that was started by hand, or one of our own.

    Where there can be none, the test is skipped, and says why.
    """
    if given := os.environ.get("LESIONFLOW_CLUSTER"):
        yield Path(given)
        return
    lacking = subprocess.run([SCRIPT, "lacks"], capture_output=True, text=True, check=True).stdout.split("\n")[:-1]
    if lacking:
        pytest.skip(f"no Kubernetes: there is no {', no '.join(lacking)}")
    built = subprocess.run([SCRIPT, "built"], check=False).returncode == 0
    if not built:
        pytest.skip("no Kubernetes: it is not built yet, which takes a while; run scripts/cluster build")
    started = subprocess.run([SCRIPT, "start", folder], capture_output=True, text=True)
    try:
        assert started.returncode == 0, started.stderr
        yield folder / "kubeconfig"
    finally:
        subprocess.run([SCRIPT, "stop", folder], check=True)
        shutil.rmtree(folder, ignore_errors=True)


class Administrator:
    """Requests to the API server by who may do everything."""

    def __init__(self, kubeconfig: Path) -> None:
        settings = yaml.safe_load(kubeconfig.read_text())
        cluster = settings["clusters"][0]["cluster"]
        self.url: str = cluster["server"]
        self.authority: str = cluster["certificate-authority"]
        self._session = requests.Session()
        self._session.trust_env = False  # REQUESTS_CA_BUNDLE would win
        self._session.verify = self.authority
        self._session.headers["Authorization"] = f"Bearer {settings['users'][0]['user']['token']}"

    def path(self, resource: str, namespace: str | None = None, *name: str) -> str:
        """Where objects of a kind are, or one of them."""
        within = [] if resource in _CLUSTER_WIDE or namespace is None else ["namespaces", namespace]
        return "/".join([self.url, _PLURALS.get(resource, "api/v1"), *within, resource, *name])

    def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json", **query: str) -> Any:
        """One request; anything but success is an error with the server's own words."""
        answer = self._session.request(
            method, path, json=body, params=query, headers={"Content-Type": kind}, timeout=30
        )
        if not answer.ok:
            raise Refused(answer.status_code, answer.json()["message"])
        return answer.json()

    def apply(self, path: str, whole: Mapping[str, Any]) -> Any:
        """Make the object, or make it so."""
        return self.ask("PATCH", path, whole, "application/apply-patch+yaml", fieldManager="tests", force="true")

    def merge(self, path: str, part: Mapping[str, Any]) -> Any:
        """Change a part of the object."""
        return self.ask("PATCH", path, part, "application/merge-patch+json")


class Refused(Exception):
    """The API server answered so."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"{status} {words}")
        self.status = status
        self.message = words


def eventually(look: Callable[[], Any], seconds: float = 60) -> Any:
    """What `look` returns once it is something: controllers and caches of Kubernetes follow after a moment."""
    until = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < until, f"not within {seconds} s: {look}"
        time.sleep(0.02)
    return found
