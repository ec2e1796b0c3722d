"""What is examined."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lesionflow.kubeflow.client.settings import ClusterSettings
from lesionflow.kubeflow.kube.cluster_access import kubernetes_client
from lesionflow.profile import ClusterProfile


@dataclass(frozen=True)
class Subject:
    """A cluster, and what a run would ask of it."""

    settings: ClusterSettings
    profile: ClusterProfile
    service_account: str
    pins: Mapping[str, str]
    """As of `lesionflow.runtime.container_images.read_pins`."""
    pipeline_root: str | None = None
    registry: str | None = None
    data: str | None = None

    @property
    def namespace(self) -> str:
        """Where the run's pods would be."""
        return self.settings.namespace

    @cached_property
    def api_client(self) -> Any:
        """The kubernetes library's `ApiClient`."""
        return kubernetes_client(self.settings.kube_context)

    @cached_property
    def core(self) -> Any:
        """The Kubernetes API's core group."""
        from kubernetes.client import CoreV1Api

        return CoreV1Api(self.api_client)
