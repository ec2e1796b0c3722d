"""What a step of a run wrote: from its pod, which has it while the step works; else from what KFP kept."""

import json
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import kfp
from urllib3.exceptions import HTTPError

from lesionflow.compat.kfp_client import open_stream
from lesionflow.errors import ClusterError, UserError
from lesionflow.kubeflow.client.transport import TIME_LIMITS, Refused, Unanswered
from lesionflow.kubeflow.kube.cluster_access import Denied, Missing
from lesionflow.kubeflow.runs.pod_names import pods_of
from lesionflow.kubeflow.runs.run_reader import RunReader
from lesionflow.kubeflow.runs.task_state import FINISHED, TASKS, RunState, TaskState

PERIOD = 3.0
"""Seconds between two looks for the next pod of a step that is followed."""
SILENCE = 24 * 3600.0
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


def begun(state: RunState, run_id: str) -> list[str]:
    """The steps of a run that have begun, in order.

    Args:
        state: of the run.
        run_id: KFP's id of it.

    Raises:
        UserError: none has.
    """
    found = [name for name, step in state.steps().items() if step.status not in ("waiting", "reused")]
    if not found:
        raise UserError(f"No step of the run {run_id} has begun; see `lesionflow status {run_id}`.")
    return found


@dataclass(frozen=True)
class Logs:
    """Reads logs of runs.

    Attributes:
        client: of `connect`.
        reader: knows the pods of a run.
        tell: is called with a sentence about what is not a line of the log: the next attempt, why nothing comes.
    """

    client: kfp.Client
    reader: RunReader
    tell: Callable[[str], None] = lambda _: None

    def lines(self, run: Any, step: str, follow: bool = False, fold: int | None = None) -> Generator[str]:
        """The lines that a step wrote; of one that was retried, the newest attempt's.

        Args:
            run: KFP's account of the run.
            step: its name, ours or kfp's.
            follow: wait for more until the step ends, and go on with its next attempt.
            fold: of a cross-validation, from 0; None for all that have begun, one after the other.

        Raises:
            UserError: there is no such step, it has not begun, or its log can be had nowhere.
            ClusterError: the log broke off.
        """
        task = task_of(step)
        state = self.reader.look(run.run_id, run)
        begun = [one for one in _wanted(state, task, fold) if one.status not in ("waiting", "reused") or one.attempts]
        if not begun and not follow:
            raise UserError(_nothing_yet(run, state, task, fold))
        try:
            if self.reader.lacks or self.reader.kube is None:
                yield from self._polled(run, task, fold, follow)
                return
            for one in begun or [TaskState(task, "waiting", fold)]:
                if len(begun) > 1:
                    self.tell(f"{TASKS[task]} of fold {(one.fold or 0) + 1}:")
                yield from self._of_pods(run, one, follow)
        except HTTPError:
            raise ClusterError(f"The log of {TASKS[task]} broke off; the same command shows it again.") from None

    def _of_pods(self, run: Any, task: TaskState, follow: bool) -> Generator[str]:
        """The log of a task's newest pod; with `follow`, that of each pod after it too, until the task has ended."""
        step, shown = TASKS[task.name], -1
        while True:
            attempt = task.attempts[-1] if task.attempts else None
            if attempt and attempt.number > shown and attempt.status != "waiting":
                if shown >= 0:
                    self.tell(f"{step} goes on in another pod, attempt {attempt.number + 1}:")
                lines = self._of_pod(run, task, attempt.pod, follow)
                if lines is not None:
                    yield from lines
                    shown = attempt.number
            if not follow:
                if shown < 0:
                    reason = f": {task.message.rstrip('.')}" if task.message else ""
                    raise UserError(f"The step {step} has not written anything: its pod is not running yet{reason}.")
                return
            state = self.reader.look(run.run_id)
            task = next((one for one in state.of(task.name) if one.fold == task.fold), task)
            if (_over(task) or state.state in FINISHED) and (not task.attempts or task.attempts[-1].number <= shown):
                return
            time.sleep(PERIOD)

    def _of_pod(self, run: Any, task: TaskState, pod: str, follow: bool) -> Iterator[str] | None:
        """The log of a pod, wherever it still is; None if its container has not started."""
        kube = self.reader.kube
        try:
            stream = kube and kube.log(pod, follow, (TIME_LIMITS[0], SILENCE if follow else TIME_LIMITS[1]))
        except (Denied, Missing) as error:
            return self._kept(run, task.name, task.fold, [pod], f"{error}; ")
        return _lines(stream) if stream is not None else None

    def _polled(self, run: Any, task: str, fold: int | None, follow: bool) -> Generator[str]:
        """The log as KFP's API has it, which cannot follow one; asked again and again, that is the same."""
        shown = 0
        while True:
            try:
                for number, line in enumerate(self._kept(run, task, fold, [])):
                    if number >= shown:
                        yield line
                        shown = number + 1
            except UserError:
                if not follow:
                    raise
            if not follow:
                return
            run = self.client.get_run(run.run_id)
            state = self.reader.look(run.run_id, run)
            if state.state in FINISHED or (shown and all(_over(one) for one in _wanted(state, task, fold))):
                follow = False  # once more, for its last lines
            else:
                time.sleep(PERIOD)

    def _kept(self, run: Any, task: str, fold: int | None, pods: Sequence[str], why: str = "") -> Generator[str]:
        """What KFP's API has of a log: it asks the pod by its name, and then the store where Argo keeps logs."""
        said = "it does not name the step's pod"
        for pod in pods or pods_of(run, task, fold):
            try:
                lines = _lines(self._from_api(run, pod))
                first = next(lines, None)
            except (Refused, Unanswered) as error:
                if error.status in (0, 401):
                    raise
                said = str(error)
            except _NoLog as error:
                said = str(error)
            else:
                if first is not None:
                    yield first
                    yield from lines
                return
        raise UserError(
            f"The log of {TASKS[task]} cannot be had: {why}Kubeflow Pipelines has none ({said.rstrip('.')}); what it "
            f"kept is the artifact `executor-logs` of the step. {self.reader.lacks}".rstrip()
        )

    def _from_api(self, run: Any, pod: str) -> Any:
        """A stream from the one path of KFP's API that has logs, which no generated class knows."""
        parameters = {"run": run.run_id, "node": pod}
        return open_stream(self.client, "/apis/v1alpha1/runs/{run}/nodes/{node}/log", parameters, TIME_LIMITS)


class _NoLog(Exception):
    """KFP answered with an error where the log should be, though with status 200."""


def _lines(stream: Any) -> Generator[str]:
    with closing(stream):
        for line in stream:
            text = line.decode("utf-8", errors="replace").rstrip("\r\n")
            if text.startswith('{"error_message":'):
                raise _NoLog(_error_message(text))
            yield text


def _error_message(text: str) -> str:
    """The innermost reason in KFP's chain of them."""
    try:
        message = str(json.loads(text)["error_message"])
    except (ValueError, KeyError, TypeError):
        message = text
    return " ".join(message.split())[-200:].lstrip()


def _over(task: TaskState) -> bool:
    return task.status in ("done", "reused", "failed", "killed")


def _wanted(state: RunState, task: str, fold: int | None) -> list[TaskState]:
    found = sorted(state.of(task), key=lambda one: one.fold or 0)
    return [one for one in found if fold is None or one.fold in (None, fold)]


def _nothing_yet(run: Any, state: RunState, task: str, fold: int | None) -> str:
    step, found = TASKS[task], state.of(task)
    if task not in state.names:
        return f"The run {run.run_id} has no step {step}; expected one of {', '.join(state.names.values())}."
    if fold is not None and state.folds and fold >= state.folds:
        return f"The run {run.run_id} has {state.folds} folds; there is no fold {fold + 1}."
    if any(one.status == "reused" for one in found):
        return f"The step {step} was not run: its result was reused from an earlier run, which has the log."
    return f"The step {step} has not begun; see `lesionflow status {run.run_id}`."
