"""What the runs of the contract pipeline show of a cluster, a line per check."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lesionflow.components.contract.contract import HELD, ON_PURPOSE
from lesionflow.kubeflow.doctor.findings import Finding, cross, fine, partly, skipped
from lesionflow.kubeflow.runs.task_state import FINISHED, RunState, TaskState
from lesionflow.runtime.run_outcome import RunOutcome


@dataclass(frozen=True)
class Log:
    """What could be read of a step's log, and why no more."""

    lines: Sequence[str] = ()
    error: str = ""

    @property
    def held(self) -> list[str]:
        """The checks that the contract step says held."""
        return [line.removeprefix(HELD) for line in self.lines if line.startswith(HELD)]


@dataclass(frozen=True)
class Seen:
    """What was seen of a run."""

    state: RunState
    outcome: RunOutcome
    while_running: Log = Log(error="the step was over before its log was asked for")
    """The first step's log, read while it ran."""
    logs: Mapping[str, Log] = field(default_factory=dict[str, Log])
    """Logs of both contract steps, read after the run."""
    reasons: Sequence[str] = ()
    """Why its pods waited or were lost, as sentences."""
    retry_policy: str = ""
    """Argo's, by the Workflow's defaults; empty if it is not known."""


@dataclass(frozen=True)
class _Check:
    name: str
    task: str
    held: str
    """What the contract step says when it holds; empty for a check that holds when its task is done."""
    works: str
    hint: str


_PARAMETERS = "this Kubeflow hands parameters to steps otherwise than 2.17 does: update it, or report this line"
_ARTIFACTS = "this Kubeflow hands artifacts to steps otherwise than 2.17 does: update it, or report this line"
_STORE = (
    "see `lesionflow doctor` without --deep for the pods' object store: endpoint and Secret of the profile, "
    "and the network policies between the pods and it"
)
_CHECKS = (
    _Check("text", "contract", "text", "a parameter with quotes and braces arrives as it was given", _PARAMETERS),
    _Check("integer", "contract", "whole", "a whole number arrives as one", _PARAMETERS),
    _Check("number", "contract", "share", "a fraction arrives as one", _PARAMETERS),
    _Check("true or false", "contract", "flag", "false arrives as false", _PARAMETERS),
    _Check("object store", "contract", "store", "a pod writes, lists and reads there", _STORE),
    _Check(
        "conditional write",
        "contract",
        "swaps",
        "the store writes only over what was expected, which a promotion needs",
        "promote to another store with --registry, or update this one",
    ),
    _Check("data", "ingest", "", "fingerprint and ingest read images from the object store", _STORE),
    _Check("artifact", "duplicates", "", "a step reads what another wrote", _ARTIFACTS),
    _Check("optional, left out", "split", "", "a step runs without its optional artifact", _ARTIFACTS),
    _Check("optional, given", "split-2", "", "a step runs with its optional artifact", _ARTIFACTS),
    _Check("metadata", "contract-2", "table", "an artifact's metadata reaches the next step", _ARTIFACTS),
    _Check("metric", "contract-2", "measured", "a metric is kept and handed on", _ARTIFACTS),
    _Check("page", "contract-2", "page", "an HTML page is kept and handed on", _ARTIFACTS),
)
_RUNS = ("run", "log, running step", "log, finished step", "gate")
_SECOND = ("cached step", "retry")
CLEANING = "cleaning up"
NAMES = (*(check.name for check in _CHECKS), *_RUNS, *_SECOND, CLEANING)
"""The names of all lines, in order."""


def of_first_run(seen: Seen) -> dict[str, Finding]:
    """Every line of the run in which nothing fails but the gate, which refuses."""
    findings = {check.name: _of_task(check, seen) for check in _CHECKS}
    return {
        **findings,
        **dict(zip(_RUNS, (_run(seen), _running_log(seen), _finished_log(seen), _gate(seen)), strict=True)),
    }


def of_second_run(seen: Seen) -> dict[str, Finding]:
    """The lines of the run in which nothing has changed but that a step fails at its first attempt."""
    return dict(zip(_SECOND, (_cached(seen), _retry(seen)), strict=True))


def without_second_run(why: str) -> dict[str, Finding]:
    """The same lines, of a run that was not made."""
    return {name: skipped(why) for name in _SECOND}


def _cached(seen: Seen) -> Finding:
    never = ("fingerprint", "gate")
    others = [task for task in seen.state.names if task not in (*never, "contract-2")]
    status = {task.name: task.status for task in seen.state.tasks}
    if again := [task for task in others if status.get(task) not in (None, "waiting", "reused")]:
        return cross(
            f"unchanged steps ran again in a second run: {', '.join(again)}",
            "switch KFP's cache on (its API server's CACHEENABLED), or every run costs as much as the first",
        )
    if missing := [task for task in others if status.get(task) != "reused"]:
        return skipped(f"the second run did not come to {', '.join(missing)}{_because(seen)}")
    return fine(f"a second run reused {len(others)} steps, and looked at the data again, as it must")


def _retry(seen: Seen) -> Finding:
    task = _task(seen, "contract-2")
    if task is None or task.status in ("waiting", "running", "reused"):
        return skipped(f"contract-2 did not come to its end{_because(seen)}")
    if "retry" in seen.logs.get("contract-2", Log()).held or task.status == "done":
        return fine("a step that failed was tried again and went on")
    if ON_PURPOSE not in _reason(task):
        return cross(f"contract-2 failed: {_reason(task)}", _ARTIFACTS)
    if seen.retry_policy in ("OnError", "OnTransientError"):
        return partly(
            "a step whose pod vanishes is tried again, one that fails or is told to end is not: Argo's defaults here "
            f"say retryPolicy {seen.retry_policy}, as Kubeflow ships them",
            "for trainings on spot nodes, have retryPolicy: Always set in workflowDefaults of Kubeflow's "
            "workflow-controller-configmap; else submit again, which goes on from the checkpoint",
        )
    return cross(
        "a step that failed was not tried again",
        "a preempted training goes on only if it is submitted again; ask the administrators about Argo's retries",
    )


def _of_task(check: _Check, seen: Seen) -> Finding:
    task = _task(seen, check.task)
    if task is None or task.status in ("waiting", "running"):
        return skipped(f"{check.task} did not come to its end{_because(seen)}")
    if task.status in ("done", "reused"):
        return fine(check.works)
    held = seen.logs.get(check.task, Log()).held
    if check.held in held:
        return fine(check.works)
    order = [other.held for other in _CHECKS if other.task == check.task]
    first = next(name for name in order if name not in held)
    if check.held != first:
        return skipped(f"{check.task} failed before it")
    return cross(f"{check.task} failed: {_reason(task)}", check.hint)


def _run(seen: Seen) -> Finding:
    if seen.state.state not in FINISHED:
        return cross(
            f"the run did not end in time{_because(seen)}", "`lesionflow doctor` looks for what keeps pods waiting"
        )
    if seen.outcome.status == "refused":
        return fine("every step had its turn")
    return cross(
        f"the run ended otherwise than it should: {seen.outcome.error}", "fix the first cross above; then try again"
    )


def _running_log(seen: Seen) -> Finding:
    if seen.while_running.lines:
        return fine(f"it is read while the step writes: {seen.while_running.lines[-1]!r}")
    if _task(seen, "contract") is None:
        return skipped(f"no step has run{_because(seen)}")
    return cross(
        f"it cannot be read: {seen.while_running.error}",
        "this needs `get pods/log` and `list pods` in the namespace, as Kubeflow Pipelines itself has no log before "
        "a step's end",
    )


def _finished_log(seen: Seen) -> Finding:
    log = seen.logs.get("contract", Log(error="the step has not run"))
    if log.held:
        return fine(f"it is read after the step's end: {len(log.lines)} lines")
    task = _task(seen, "contract")
    if task is None or task.status in ("waiting", "running"):
        return skipped(f"no step has ended{_because(seen)}")
    return cross(
        f"it cannot be read: {log.error or 'it is empty'}",
        "the pods' logs need `get pods/log` in the namespace; of pods that are gone, KFP must archive logs",
    )


def _gate(seen: Seen) -> Finding:
    task = _task(seen, "gate")
    if task is None or task.status in ("waiting", "running"):
        return skipped(f"the gate did not come to its turn{_because(seen)}")
    if seen.outcome.status == "refused":
        return fine(f"a refusal is told from a failure: {seen.outcome.error}")
    return cross(
        f"its refusal does not look like one: {seen.outcome.error or seen.outcome.status}",
        "`submit --wait` cannot tell a refused model from a broken step here; the gate's log does",
    )


def _task(seen: Seen, name: str) -> TaskState | None:
    return next(iter(seen.state.of(name)), None)


def _reason(task: TaskState) -> str:
    return (" ".join(task.message.split()) or "its log says why").rstrip(".")


def _because(seen: Seen) -> str:
    """What stopped the run before, or what its pods wait for."""
    failed = next(
        (task for task in seen.state.tasks if task.status in ("failed", "killed") and task.name != "gate"), None
    )
    if failed is not None:
        return f", as {failed.name} failed"
    return f": {seen.reasons[0].rstrip('.')}" if seen.reasons else ""
