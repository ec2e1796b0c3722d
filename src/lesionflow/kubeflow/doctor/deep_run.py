"""Runs of the contract pipeline: start one, watch it to its end, and take everything away again."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import kfp

from lesionflow.errors import FAILED, ClusterError, UserError
from lesionflow.kubeflow.client.transport import Refused
from lesionflow.kubeflow.compile import write_package
from lesionflow.kubeflow.doctor.deep_checks import Log, Seen
from lesionflow.kubeflow.doctor.deep_cleaning import Cleaning
from lesionflow.kubeflow.doctor.subject import Subject
from lesionflow.kubeflow.kube.cluster_access import Denied, Missing
from lesionflow.kubeflow.runs.logs import Logs
from lesionflow.kubeflow.runs.outcome import cluster_outcome
from lesionflow.kubeflow.runs.run_reader import RunReader
from lesionflow.kubeflow.runs.task_state import FINISHED, RunState, TaskState
from lesionflow.kubeflow.send import send
from lesionflow.kubeflow.submission import Submission, describe
from lesionflow.pipelines import contract
from lesionflow.runtime.run_outcome import RunOutcome

PERIOD = 3.0
"""Seconds between two looks at a run."""
LIMIT = 1800.0
"""Seconds that one run may take: images of a gigabyte may have to be pulled first."""


def prepare_contract(subject: Subject, nonce: str) -> Submission:
    """Compile the contract pipeline for the cluster and name everything."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pipeline.yaml")
        pipeline = contract.define_contract_pipeline(subject.profile)
        unpinned = write_package(file, contract.NAME, pipeline, subject.pins)
        package = file.read_text(encoding="utf-8")
    return describe(
        contract.NAME,
        package,
        unpinned,
        subject.profile,
        {"nonce": nonce},
        contract.NAME,
        None,
        subject.service_account,
        subject.pipeline_root,
    )


@dataclass
class DeepRuns:
    """Starts and watches runs, and remembers them for `clean`.

    Attributes:
        client: of `connect`.
        reader: of the same settings.
        submission: of `prepare_contract`.
        tell: shows what happens at the moment.
        started: ids of the runs.
    """

    client: kfp.Client
    reader: RunReader
    submission: Submission
    tell: Callable[[str], None]
    started: list[str]

    def run(self, name: str, fail_once: bool) -> Seen:
        """Start a run and watch it until it has ended, or `LIMIT` is over.

        Args:
            name: for people.
            fail_once: the pipeline's parameter.

        Raises:
            UserError: the cluster refuses the run.
            ClusterError: it does not answer when the run is started.
        """
        self.tell(f"{name}: starting")
        submission = replace(
            self.submission,
            run_name=f"{self.submission.run_name}-{name}",
            parameters={**self.submission.parameters, "fail_once": fail_once},
        )
        run_id = str(send(self.client, submission).run_id)
        self.started.append(run_id)
        state, running = self._watch(run_id, name)
        logs = {task: self._log(run_id, task) for task in ("contract", "contract-2") if _has_log(state, task)}
        if state.state not in FINISHED:
            outcome = RunOutcome("failed", "it has not ended", FAILED)
        else:
            outcome = cluster_outcome(state, lambda task: self._log(run_id, task.name).lines, ())
        return Seen(state, outcome, running, logs, self._reasons(run_id, state), self._retry_policy(run_id))

    def _watch(self, run_id: str, name: str) -> tuple[RunState, Log]:
        until, log = time.monotonic() + LIMIT, Seen.while_running
        state = RunState("PENDING", ())
        while time.monotonic() < until and state.state not in FINISHED:
            try:
                state = self.reader.look(run_id)
            except (ClusterError, Refused) as error:  # a look may fail, the run goes on
                if isinstance(error, Refused) and error.status:
                    raise
                self.tell(f"{name}: {error}")
            else:
                self.tell(f"{name}: {_progress(state)}")
                if not log.lines and any(task.status == "running" for task in state.of("contract")):
                    log = self._log(run_id, "contract")
            if state.state not in FINISHED:
                time.sleep(PERIOD)
        return state, log

    def _log(self, run_id: str, task: str) -> Log:
        try:
            run: Any = self.client.get_run(run_id)
            return Log(tuple(islice(Logs(self.client, self.reader).lines(run, task), 10_000)))
        except (UserError, ClusterError) as error:
            return Log(error=str(error).rstrip("."))

    def _reasons(self, run_id: str, state: RunState) -> Sequence[str]:
        kube = self.reader.kube
        if kube is None:
            return ()
        try:
            return kube.why_failed(run_id) if state.state in FINISHED else kube.why_pending(run_id)
        except (UserError, ClusterError) as error:
            return (f"why pods wait is not known ({error})",)

    def _retry_policy(self, run_id: str) -> str:
        """Which ends of a pod Argo takes for a reason to try again."""
        try:
            found: Any = self.reader.kube and self.reader.kube.workflow(run_id)
        except (Denied, Missing, UserError, ClusterError):
            return ""
        defaults = ((found or {}).get("spec") or {}).get("templateDefaults") or {}
        return str((defaults.get("retryStrategy") or {}).get("retryPolicy") or "")

    def clean(self) -> tuple[list[str], list[str]]:
        """Delete the runs, and the pipeline and its experiment unless other runs use them.

        Returns:
            What was deleted, and what is left with the reason.
        """
        cleaning = Cleaning(self.client)
        for run_id in self.started:
            self._stop(run_id)
            cleaning.delete(f"run {run_id}", self.client.delete_run, run_id)
        if self.started and not cleaning.left:
            cleaning.delete_unused(self.submission.pipeline, self.submission.experiment)
        return cleaning.gone, cleaning.kept()

    def _stop(self, run_id: str) -> None:
        try:
            run: Any = self.client.get_run(run_id)
            if run.state not in FINISHED:
                self.client.terminate_run(run_id)
        except (UserError, ClusterError) as error:
            self.tell(f"run {run_id} could not be stopped: {error}")


def _has_log(state: RunState, task: str) -> bool:
    return any(one.status not in ("waiting", "reused") for one in state.of(task))


def _progress(state: RunState) -> str:
    working: list[TaskState] = [task for task in state.tasks if task.status == "running"]
    if working:
        return f"{', '.join(task.name for task in working)} at work"
    return "waiting for a pod" if state.state not in FINISHED else state.state.lower()
