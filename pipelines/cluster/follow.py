"""Follow a run on the cluster step by step, and say how it ended in the words and codes of a local run."""

import re
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kfp
from rich.console import Console
from rich.markup import escape

from components.common.errors import UserError
from pipelines.cluster.errors import ClusterError
from pipelines.cluster.logs import Logs
from pipelines.cluster.runs import FINISHED, parameters_of, refused, steps_of
from pipelines.cluster.settings import ClusterSettings
from pipelines.cluster.transport import Refused
from pipelines.display import RunDisplay
from pipelines.outcome import BAD_INPUT, FAILED, PASSED, REFUSED, Outcome
from pipelines.runners.events import RunEvents, StepState
from pipelines.training import TASKS

PERIOD = 5.0
"""Seconds between two looks at the run."""
TICK = 0.25
"""Seconds between two changes of the clock that is shown."""
PATIENCE = 600.0
"""Seconds for which the API may be away before following ends; the run itself goes on."""
PENDING_PERIOD = 30.0
"""Seconds between two questions why pods wait."""

_EXIT_STATUS = re.compile(r"exit status (\d+)")
"""What KFP's launcher writes of the step's process at the end of the log."""


def follow(client: kfp.Client, settings: ClusterSettings, run_id: str, console: Console, verbose: bool) -> int:
    """Show a run until it ends.

    Args:
        client: of `connect`.
        settings: the same.
        run_id: KFP's id of the run.
        console: where it is shown.
        verbose: whether to say why nothing is known of waiting pods.

    Returns:
        The exit code: 0 passed, 1 a step failed, 2 bad input, 3 the gate refused.

    Raises:
        UserError: the API refuses what it allowed before.
        ClusterError: the API stayed away for `PATIENCE`.
    """
    events = RunEvents(Path(), {name: StepState(name) for name in TASKS.values()})
    pods = _Pods(settings, run_id, console, verbose)
    with RunDisplay(console, list(TASKS.values()), verbose=False) as display:
        heard = time.monotonic()
        while True:
            try:
                run: Any = client.get_run(run_id)
            except (ClusterError, Refused) as error:
                away = isinstance(error, ClusterError) or error.status == 0
                if not away or time.monotonic() - heard > PATIENCE:
                    raise
            else:
                heard = time.monotonic()
                events.steps = steps_of(run)
                display.watch(events)
                if run.state in FINISHED:
                    break
                pods.explain_waiting()
            until = time.monotonic() + PERIOD
            while time.monotonic() < until:
                time.sleep(TICK)
                display.watch(events)
    outcome = judge(run, events.steps, Logs(client, settings), pods)
    _show(outcome, run, console)
    return outcome.code


def judge(run: Any, steps: dict[str, StepState], logs: Logs, pods: "_Pods") -> Outcome:
    """Tell a refused model from bad input from a broken step, which KFP calls FAILED all three.

    From outside, a refusal is a failed gate after a finished evaluation. What the gate wrote, and what the
    cluster says of its pod, can show otherwise.
    """
    if run.state == "SUCCEEDED":
        return Outcome("passed", "", PASSED)
    if run.state != "FAILED":
        return Outcome("failed", f"The run was {(run.state or 'ended').lower()}.", FAILED)
    name = next((name for name, state in steps.items() if state.status in ("failed", "killed")), None)
    if name is None:
        said = " ".join((run.error.message if run.error and run.error.message else "").split()).rstrip(".")
        reason = "; ".join(pods.ended()) or said or "no step of it did"
        return Outcome("failed", f"The run failed: {reason.rstrip('.')}.", FAILED)
    if ended := next((sentence for sentence in pods.ended() if sentence.startswith(f"{name} ")), None):
        return Outcome("failed", f"The step {ended}", FAILED)
    sentence, status = _last_words(logs, run, name)
    if status == BAD_INPUT and sentence:
        return Outcome("failed", sentence, BAD_INPUT)
    if name == "gate" and refused(steps) and _may_be_refusal(run, steps["gate"], sentence, status):
        return Outcome("refused", sentence or "The gate refused the model; its log says why.", REFUSED)
    reason = sentence or steps[name].message or "its log says why"
    return Outcome("failed", f"The step {name} failed: {reason.rstrip('.')}.", FAILED)


def _may_be_refusal(run: Any, gate: StepState, sentence: str, status: int | None) -> bool:
    if status is not None:
        return status == REFUSED
    details = {detail.display_name: detail for detail in run.run_details.task_details}
    driver = details.get("gate-driver")
    if driver is not None and driver.state == "FAILED":
        return False  # the gate itself never ran
    killed = re.search(r"OOMKilled|Evicted|[Dd]eadline|[Pp]reempt|pod deleted|exit code (?!1\b)\d+", gate.message)
    return bool(sentence) or not killed


def _last_words(logs: Logs, run: Any, name: str) -> tuple[str, int | None]:
    """The sentence with which a step ended and its exit status, as far as its log can be had."""
    try:
        lines = list(logs.lines(run, name))
    except (UserError, ClusterError):
        return "", None
    said = [line.split(f"{name}: ", 1)[1].strip() for line in lines if line.startswith(f"{name}: ")]
    statuses = [int(found[1]) for line in lines if (found := _EXIT_STATUS.search(line))]
    return (said[-1] if said else ""), (statuses[-1] if statuses else None)


def _show(outcome: Outcome, run: Any, console: Console) -> None:
    if outcome.status == "passed":
        registry = parameters_of(run).get("registry", "")
        text = f"[bold green]Passed:[/] the gate let the model through; it is in {escape(registry)}"
        if not registry:
            text = "[bold green]Passed:[/] the gate let the method through; a cross-validation promotes nothing."
    elif outcome.status == "refused":
        text = f"[bold red]Refused:[/] {escape(outcome.error)} Nothing was promoted."
    else:
        text = f"[bold red]Failed:[/] {escape(outcome.error)}\nLogs:     lesionflow logs {escape(run.run_id)}"
    console.print(text, highlight=False, soft_wrap=True)


class _Pods:
    """What Kubernetes says of a run's pods. Not everyone may ask it, and nothing depends on its answer."""

    def __init__(self, settings: ClusterSettings, run_id: str, console: Console, verbose: bool) -> None:
        self._settings, self._run_id, self._console, self._verbose = settings, run_id, console, verbose
        self._told: set[str] = set()
        self._next = time.monotonic()
        self._core: Any | None = None
        with self._tolerated():
            from kubernetes.client import CoreV1Api

            from pipelines.doctor.cluster_access import connect

            self._core = CoreV1Api(connect(settings.kube_context))

    def explain_waiting(self) -> None:
        """Show why pods are Pending, each reason once."""
        if self._core is None or time.monotonic() < self._next:
            return
        from pipelines.doctor.pending import why_pending

        self._next = time.monotonic() + PENDING_PERIOD
        with self._tolerated():
            for sentence in why_pending(self._core, self._settings.namespace, self._run_id):
                self._tell(sentence)

    def ended(self) -> list[str]:
        """Sentences about pods that the cluster killed, evicted or never admitted; each begins with its step."""
        if self._core is None:
            return []
        from pipelines.doctor.pending import why_failed

        with self._tolerated():
            return why_failed(self._core, self._settings.namespace, self._run_id)
        return []

    @contextmanager
    def _tolerated(self) -> Generator[None]:
        try:
            yield
        except (UserError, ClusterError) as error:
            if isinstance(error, UserError):
                self._core = None  # no access; a cluster that is only slow may answer next time
            if self._verbose:
                self._tell(f"Why pods wait is not known: {error}")

    def _tell(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            self._console.print(f"  {sentence}", style="yellow", markup=False, highlight=False, soft_wrap=True)
