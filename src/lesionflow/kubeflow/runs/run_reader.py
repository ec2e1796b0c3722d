"""A run's state from wherever it can be had: Argo's Workflow through Kubernetes, else KFP's API."""

import time
from typing import Any

import kfp

from lesionflow.errors import ClusterError, UserError
from lesionflow.kubeflow.client.settings import ClusterSettings
from lesionflow.kubeflow.kube.cluster_access import Denied, Missing, call_kubernetes, kubernetes_client
from lesionflow.kubeflow.runs import task_details, workflow
from lesionflow.kubeflow.runs.pending import RUN_LABEL, why_failed, why_pending
from lesionflow.kubeflow.runs.task_state import RunState

COOL_OFF = 30.0
"""Seconds for which a Kubernetes API that gave no answer is not asked again."""


class KubeRuns:
    """What Kubernetes holds of runs, for those whom it lets in."""

    def __init__(self, settings: ClusterSettings) -> None:
        """Connect; nothing is sent yet.

        Raises:
            UserError: there is no usable kubeconfig, and this is no pod.
        """
        from kubernetes.client import CoreV1Api, CustomObjectsApi

        api_client = kubernetes_client(settings.kube_context)
        self._core, self._objects = CoreV1Api(api_client), CustomObjectsApi(api_client)
        self._namespace = settings.namespace

    def workflow(self, run_id: str) -> dict[str, Any] | None:
        """The Workflow of a run; None if there is none, or none any more.

        Raises:
            Denied, Missing, ClusterError, UserError: of `call_kubernetes`.
        """
        found: dict[str, Any] = call_kubernetes(
            self._objects.list_namespaced_custom_object,
            "argoproj.io",
            "v1alpha1",
            self._namespace,
            "workflows",
            label_selector=f"{RUN_LABEL}={run_id}",
        )
        return next(iter(found.get("items") or []), None)

    def why_pending(self, run_id: str) -> list[str]:
        """What pods of a run wait for; see `pending`."""
        return why_pending(self._core, self._namespace, run_id)

    def why_failed(self, run_id: str) -> list[str]:
        """Which pods of a run the cluster ended or refused; likewise."""
        return why_failed(self._core, self._namespace, run_id)

    def log(self, pod: str, follow: bool, time_limits: tuple[float, float]) -> Any | None:
        """A stream of the lines that a pod's step has written; None if its container has not started.

        Args:
            pod: its name.
            follow: wait for more until it ends.
            time_limits: seconds to connect, and to wait for the next line.

        Raises:
            Denied, Missing, ClusterError: this user may not, the pod is gone, or Kubernetes is broken.
        """
        from kubernetes.client import ApiException

        try:
            return self._core.read_namespaced_pod_log(
                pod,
                self._namespace,
                container="main",
                follow=follow,
                _preload_content=False,
                _request_timeout=time_limits,
            )
        except ApiException as error:
            match error.status:
                case 400:
                    return None
                case 401 | 403:
                    raise Denied(f"Kubernetes does not let you read the logs of pods in {self._namespace}") from None
                case 404:
                    raise Missing(f"the pod {pod} is gone") from None
                case _:
                    raise ClusterError(f"Kubernetes gave no log of the pod {pod}: {error.reason}.") from None


class RunReader:
    """Looks at runs.

    Attributes:
        kube: Kubernetes, if it lets this user in; None as soon as it does not.
        lacks: what was not known of the last run that was looked at, and why; empty if nothing.
    """

    def __init__(self, client: kfp.Client, settings: ClusterSettings) -> None:
        self._client = client
        self._namespace = settings.namespace
        self._next = 0.0
        self.lacks = ""
        self.kube: KubeRuns | None = None
        try:
            self.kube = KubeRuns(settings)
        except UserError as error:
            self._without = str(error).rstrip(".")

    def look(self, run_id: str, run: Any = None) -> RunState:
        """A run as it is now.

        Args:
            run_id: KFP's id of it.
            run: KFP's account, if it was asked already.

        Raises:
            Refused, Unanswered: KFP's API had to be asked, and did not answer.
        """
        self.lacks = ""
        found = self._from_workflow(run_id)
        if found is not None:
            return found
        state = task_details.run_state(run or self._client.get_run(run_id))
        if state.state == "PENDING" and self.kube is not None:
            self.lacks = ""  # its Workflow is about to come
        return state

    def _from_workflow(self, run_id: str) -> RunState | None:
        if self.kube is None:
            return self._miss(self._without)
        if time.monotonic() < self._next:
            return self._miss(self._without)
        try:
            found = self.kube.workflow(run_id)
            if found is not None:
                return workflow.workflow_state(found)
            return self._miss(f"there is no Workflow of it in namespace {self._namespace}, or no longer")
        except (Denied, Missing, UserError) as error:
            self.kube, self._without = None, str(error).rstrip(".")
        except ClusterError as error:
            self._next, self._without = time.monotonic() + COOL_OFF, str(error).rstrip(".")
        return self._miss(self._without)

    def _miss(self, reason: str) -> None:
        self.lacks = (
            f"Kubernetes does not tell of this run ({reason}), so it is not known why pods wait, which attempt a step "
            "is in or how it ended, and past 1 MB of the run's record Kubeflow Pipelines no longer follows its steps."
        )
