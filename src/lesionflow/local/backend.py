"""What a local run needs of the two ways to run a task: as a process, or in a container."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kfp import local
from kfp.dsl.graph_component import GraphComponent

from lesionflow.local.workspace import Workspace
from lesionflow.runtime import progress, step
from lesionflow.runtime.events import RunEvents

SAVING = 60.0
"""Seconds that the tasks of an interrupted run get: a training ends its batch and writes its checkpoint."""

LocalRunner = local.SubprocessRunner | local.DockerRunner


@dataclass(frozen=True)
class RunPlace:
    """Where a run works."""

    workspace: Workspace
    folder: Path
    """This run's own."""

    @property
    def task_environment(self) -> Mapping[str, str]:
        """What every task finds in its environment."""
        return {
            progress.FOLDER_VARIABLE: str(self.folder / "progress"),
            step.LOG_VARIABLE: str(self.folder / "logs"),
            step.LOCK_VARIABLE: str(self.workspace.lock_file),
            "PYTHONSAFEPATH": "1",  # else a `components` folder where the user stands would shadow ours
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(self.folder / "tmp"),  # kfp leaves a folder per task behind
        }


class Backend(Protocol):
    """One way to run tasks."""

    def prepare(self, pipeline: GraphComponent) -> GraphComponent:
        """The pipeline as this backend runs it."""
        ...

    def runner(self, place: RunPlace, events: RunEvents) -> AbstractContextManager[LocalRunner]:
        """kfp's runner, for the time of one run.

        Raises:
            UserError: tasks cannot be run this way here.
        """
        ...

    def outlive(self, events: RunEvents, at_once: Callable[[], bool] | None) -> None:
        """Return when no task that ever started is left.

        Args:
            events: what the tasks said.
            at_once: None unless the run was interrupted. Then the tasks are told to end, which lets a training save
                where it stands, and get `SAVING` for it, or less as soon as this function says so.
        """
        ...
