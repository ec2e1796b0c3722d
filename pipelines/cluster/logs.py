"""What a step of a run wrote: from KFP's API where that still works, else from the step's pod."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, cast

import kfp
from urllib3.exceptions import HTTPError

from components.common.errors import UserError
from pipelines.cluster.errors import ClusterError
from pipelines.cluster.runs import TASKS, task_details
from pipelines.cluster.settings import ClusterSettings
from pipelines.cluster.transport import TIME_LIMITS, Refused, Unanswered

_SILENCE = 24 * 3600.0
"""Seconds for which a step that is followed may write nothing."""


def task_of(step: str) -> str:
    """kfp's name of a step.

    Raises:
        UserError: there is no such step.
    """
    for task, name in TASKS.items():
        if step in (task, name):
            return task
    raise UserError(f"There is no step {step!r}; expected one of {', '.join(TASKS.values())}.")


@dataclass(frozen=True)
class Logs:
    """Reads logs of runs."""

    client: kfp.Client
    settings: ClusterSettings

    def lines(self, run: Any, step: str, follow: bool = False) -> Generator[str]:
        """The lines that a step wrote.

        Args:
            run: KFP's account of the run.
            step: its name, ours or kfp's.
            follow: wait for more until the step ends.

        Raises:
            UserError: there is no such step, it has not begun, or its log can be had nowhere.
            ClusterError: the log broke off.
        """
        task = task_of(step)
        try:
            stream = self._from_api(run, task, follow) or self._from_pod(run, task, follow)
            for line in stream:
                yield line.decode("utf-8", errors="replace").rstrip("\r\n")
        except HTTPError:
            raise ClusterError(f"The log of {TASKS[task]} broke off; the same command shows it again.") from None

    def _from_api(self, run: Any, task: str, follow: bool) -> Any | None:
        """A stream from the one path of KFP's API that has logs, which no generated class knows.

        It finds the pod by the id of Argo's node, which newer versions of Argo no longer name pods by.
        """
        detail = task_details(run).get(task)
        if detail is None:
            return None
        api_client = cast(Any, self.client)._run_api.api_client
        for node in [*(child.pod_name for child in detail.child_tasks or []), detail.pod_name]:
            if not node:
                continue
            try:
                return api_client.call_api(
                    "/apis/v1alpha1/runs/{run}/nodes/{node}/log",
                    "GET",
                    path_params={"run": run.run_id, "node": node},
                    query_params=[("follow", "true")] if follow else [],
                    auth_settings=["Bearer"],
                    _preload_content=False,
                    _request_timeout=(TIME_LIMITS[0], _SILENCE if follow else TIME_LIMITS[1]),
                )
            except (Refused, Unanswered) as error:
                if error.status in (0, 401):
                    raise
        return None

    def _from_pod(self, run: Any, task: str, follow: bool) -> Any:
        from kubernetes.client import ApiException, CoreV1Api

        from pipelines.doctor import cluster_access as kubernetes
        from pipelines.doctor.pending import RUN_LABEL, step_of

        step = TASKS[task]
        nowhere = f"The log of {step} cannot be had from Kubeflow Pipelines"
        try:
            core = CoreV1Api(kubernetes.connect(self.settings.kube_context))
            namespace = self.settings.namespace
            listed = kubernetes.ask(core.list_namespaced_pod, namespace, label_selector=f"{RUN_LABEL}={run.run_id}")
            pods = [pod for pod in listed.items if step_of(pod) == step and _has_main(pod)]
            if not pods:
                if task not in task_details(run):
                    raise UserError(f"The step {step} has not begun; see `lesionflow status {run.run_id}`.")
                raise UserError(f"{nowhere}, and its pod is gone.")
            pod = max(pods, key=lambda pod: pod.metadata.creation_timestamp)
            return core.read_namespaced_pod_log(
                pod.metadata.name,
                namespace,
                container="main",
                follow=follow,
                _preload_content=False,
                _request_timeout=(TIME_LIMITS[0], _SILENCE if follow else TIME_LIMITS[1]),
            )
        except (kubernetes.Denied, kubernetes.Missing) as error:
            raise UserError(f"{nowhere}, and not from its pod: {str(error).rstrip('.')}.") from None
        except ApiException as error:
            raise UserError(f"{nowhere}, and not from its pod: {error.reason} ({error.status}).") from None


def _has_main(pod: Any) -> bool:
    """Whether a pod does the step's work, and is not the driver that prepares it."""
    name = (pod.metadata.annotations or {}).get("workflows.argoproj.io/node-name", "")
    return "-driver" not in name.rsplit(".", 1)[-1]
