"""A run's steps as the cluster tells of them: one model, whichever of its APIs was asked.

`workflow` fills it from Argo's Workflow, `task_details` from what is left of that in KFP's API; what is shown and how
a run is judged ask nothing but this.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Literal

from lesionflow.pipelines import contract, cross_validation, training
from lesionflow.runtime.events import StepState
from lesionflow.runtime.last_words import LastWords

TASKS = training.TASKS | cross_validation.TASKS | contract.TASKS
"""kfp's name of each task of any pipeline -> the step's name for users."""

FINISHED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
"""States, in KFP's words, that a run does not leave."""

Status = Literal["waiting", "running", "done", "reused", "failed", "killed"]
_WORST_FIRST: tuple[Status, ...] = ("failed", "killed", "running", "waiting", "done", "reused")

_EXIT_CODE = re.compile(r"\(exit code (\d+)\)")


@dataclass(frozen=True)
class Attempt:
    """One pod that did, or tried to do, a task's work."""

    status: Status
    number: int = 0
    """From 0; more than that after a retry."""
    pod: str = ""
    """Its name; empty if that is not known."""
    started: datetime | None = None
    ended: datetime | None = None
    message: str = ""
    """The cluster's words on it."""
    exit_code: int | None = None
    """Exit code of the pod's main container: KFP's launcher, which ends with 1 however the step itself ended."""

    @property
    def lost(self) -> bool:
        """Whether the pod went away under the step: preempted, evicted, its node lost."""
        return not self.last_words and bool(
            re.search(r"pod deleted|[Ee]vict|[Pp]reempt|[Nn]ode ?(lost|shutdown)|NodeShutdown", self.message)
        )

    @cached_property
    def last_words(self) -> LastWords | None:
        """What the step left as it ended; None if it left nothing, or that is not known."""
        return LastWords.found_in(self.message)

    @property
    def sentence(self) -> str:
        """What the step said last; empty if it said nothing, or it is not known."""
        return self.last_words.sentence if self.last_words else ""

    @property
    def reason(self) -> str:
        """Why it ended or waits: in the step's words, else in the cluster's."""
        return self.sentence or self.message

    @property
    def exit_status(self) -> int | None:
        """That of the step's own process, or of a main container that was ended from outside."""
        if self.last_words:
            return self.last_words.exit_status
        code = self.exit_code
        if code is None and (given := _EXIT_CODE.search(self.message)):
            code = int(given[1])
        return code if code is not None and code > 128 else None


@dataclass(frozen=True)
class TaskState:
    """One task of a run; of a cross-validation, in one fold."""

    name: str
    """kfp's."""
    status: Status
    fold: int | None = None
    """From 0; None for a task that is in no loop, and where the API does not tell."""
    started: datetime | None = None
    ended: datetime | None = None
    attempts: Sequence[Attempt] = ()
    message: str = ""

    @property
    def seconds(self) -> float:
        """How long the task's pods took; not a number if that is not known."""
        if self.started is None or self.ended is None:
            return math.nan
        return max(0.0, (self.ended - self.started).total_seconds())


@dataclass(frozen=True)
class RunState:
    """A run at one moment."""

    state: str
    """In KFP's words; see `FINISHED`."""
    tasks: Sequence[TaskState]
    folds: int | None = None
    """How many a cross-validation has, 0 if their number is not known yet; None for a training."""
    stopped: bool = False
    """Whether somebody stopped it."""
    message: str = ""
    """The cluster's words on the whole run."""
    stale: bool = field(default=False)
    """Whether the tasks are older than the state: KFP's API stops following a run past 1 MB."""

    @property
    def names(self) -> dict[str, str]:
        """kfp's name of each task of this pipeline -> the step's name for users, in order."""
        if any(state.name in contract.OWN for state in self.tasks):
            return contract.TASKS
        return training.TASKS if self.folds is None else cross_validation.TASKS

    def of(self, task: str) -> list[TaskState]:
        """The states of a task, one per fold."""
        return [state for state in self.tasks if state.name == task]

    def steps(self) -> dict[str, StepState]:
        """Every step, in order, by the name that users know; one that runs once per fold as a whole."""
        return {step: _step(step, self.of(task), self) for task, step in self.names.items()}

    @property
    def refused(self) -> bool:
        """Whether the gate refused: by its own last words or, where these are out of reach, as it looks from outside.

        There a gate that ended by itself (KFP's launcher ends with 1 then) and failed on an evaluation that is there
        has refused.
        """
        gate = next(iter(self.of("gate")), None)
        if gate is None or gate.status != "failed":
            return False
        last = gate.attempts[-1] if gate.attempts else None
        if last and last.last_words:
            return last.last_words.kind == "refused"
        by_itself = last.exit_code == 1 if last else not gate.message
        return by_itself and any(one.status in ("done", "reused") for one in self.of(self._judges))

    @property
    def _judges(self) -> str:
        """The task whose evaluation the gate enforces."""
        kinds = (contract, training, cross_validation)
        return next(kind.JUDGES for kind in kinds if self.names == kind.TASKS)


def new_run(folds: int | None) -> RunState:
    """A run of which nothing is known yet; with `folds`, a cross-validation."""
    return RunState("PENDING", (), folds)


def _step(step: str, states: Sequence[TaskState], run: RunState) -> StepState:
    looped = run.folds is not None and step in cross_validation.EACH_FOLD.values()
    if run.stale and (not states or any(state.status in ("running", "waiting") for state in states)):
        return StepState(step, "done" if run.state == "SUCCEEDED" else "waiting", seconds=math.nan, headline=_UNSEEN)
    if not states:
        return StepState(step)
    worst = min(states, key=lambda state: _WORST_FIRST.index(state.status))
    status = worst.status
    headline = "; ".join(
        filter(None, (_retries(worst), " ".join(worst.message.split()) if status == "waiting" else ""))
    )
    if looped:
        ready = sum(state.status in ("done", "reused") for state in states)
        pooled = any(state.status != "waiting" for state in run.of("pool"))
        unfinished = ready < (run.folds or ready + 1) and not pooled and run.state not in FINISHED
        if status in ("done", "reused", "waiting") and unfinished and any(s.status != "waiting" for s in states):
            status = "running"
        headline = f"done in {ready} of {run.folds} folds" if run.folds else f"done in {ready} folds"
    started = [state.started.timestamp() for state in states if state.started]
    return StepState(
        step,
        status,
        started=min(started) if started else 0.0,
        seconds=sum(state.seconds for state in states),
        headline=headline,
        message=" ".join(worst.message.split()),
    )


_UNSEEN = "not known: the run's record had passed 1 MB"


def _retries(task: TaskState) -> str:
    """How often a task had to start again; empty if not at all."""
    number = max((attempt.number for attempt in task.attempts), default=0)
    if not number or task.status not in ("running", "waiting", "done"):
        return ""
    lost = sum(attempt.lost for attempt in task.attempts)
    why = f", {lost} lost {'its pod' if lost == 1 else 'their pods'}" if lost else ""
    return f"attempt {number + 1}{why}"
