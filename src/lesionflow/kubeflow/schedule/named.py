"""Schedules by the name of their file, or their own, on the server that the settings lead to."""

from pathlib import Path

from rich.console import Console

from lesionflow.errors import UserError
from lesionflow.kubeflow.client.connection import connect
from lesionflow.kubeflow.client.settings import ClusterSettings
from lesionflow.kubeflow.schedule.desired import Desired
from lesionflow.kubeflow.schedule.display import past, say
from lesionflow.kubeflow.schedule.reconcile import Decision, Step, settle
from lesionflow.kubeflow.schedule.recurring import Server
from lesionflow.kubeflow.schedule.spec import LATEST, OF_ALL_PROFILES, load_schedule
from lesionflow.kubeflow.schedule.view import LEFT_BEHIND


def server_of(settings: ClusterSettings) -> Server:
    """The server of schedules; raises as `connect`."""
    return Server(connect(settings))


def resolve(file: Path, settings: ClusterSettings, console: Console) -> tuple[Server, Desired]:
    """What a file asks for, on the server that it is asked of; says on `console` what was read otherwise than written.

    Raises:
        UserError: of `load_schedule`, `connect` and `Server.resolve`.
        ClusterError: of `connect`.
    """
    schedule, translated = load_schedule(file)
    left_behind = schedule.pipeline in OF_ALL_PROFILES and schedule.version == LATEST
    for note in (translated, f"{file.name}: {LEFT_BEHIND}" if left_behind else ""):
        if note:
            console.print(note, style="yellow", markup=False, highlight=False, soft_wrap=True)
    server = server_of(settings)
    return server, server.resolve(schedule, settings.experiment, str(file))


def change(settings: ClusterSettings, name: str, decide: Decision, console: Console) -> bool:
    """Take the steps that `decide` wants, if the schedule is one of ours.

    Returns:
        Whether there were any.

    Raises:
        UserError: there is no such schedule, or it was not made from a file; of `connect` and `settle`.
        ClusterError: of both.
    """
    server = server_of(settings)
    named = server.observed(name)
    if not named:
        raise UserError(f"There is no schedule {name!r}; `lesionflow schedule list` shows those there are.")
    if not any(each.digest for each in named):
        raise UserError(
            f"The schedule {name!r} was not made by `lesionflow schedule apply`; change it where it was made, or "
            "apply a file of that name, which replaces it."
        )
    steps: list[Step] = []
    settle(server, name, decide, steps.append)
    for step in steps:
        say(console, f"{name}: {past(step)}")
    if not steps:
        say(console, f"{name}: nothing to do")
    return bool(steps)
