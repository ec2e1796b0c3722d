"""`lesionflow schedule`: what a person types and sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lesionflow.cli.cluster_options import Config, Endpoint, KubeContext, Namespace
from lesionflow.errors import UserError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from lesionflow.kubeflow.schedule.reconcile import Step
    from lesionflow.kubeflow.schedule.recurring import Desired, Observed, Server

_OUTCOMES = {"SUCCEEDED": "[green]✓[/]", "FAILED": "[red]✗[/]", "CANCELED": "[red]✗[/]"}

_LEFT_BEHIND = (
    "it follows the latest version of a pipeline that `submit` uploads no more to, as each profile has its own now; "
    "leave `pipeline` out of the file, set `profile`, and apply it."
)

app = typer.Typer(help="Periodic retraining, as a file says.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="YAML file that describes the schedule; docs/schedule.yaml is one.")]
Name = Annotated[str, typer.Argument(help="Name of the schedule.")]
TimeZone = Annotated[
    str,
    typer.Option("--timezone", envvar="CRON_SCHEDULE_TIMEZONE", help="The server's, for the times shown here."),
]


@app.command()
def apply(
    file: File,
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    kube_context: KubeContext = None,
    config: Config = None,
    timezone: TimeZone = "UTC",
) -> None:
    """Make the server's schedule what the file says; nothing if it is already."""
    from lesionflow.kubeflow.schedule.display import next_runs, past, say
    from lesionflow.kubeflow.schedule.reconcile import apply as apply_to

    zone, console = _zone(timezone), Console()
    server, desired = _resolve(file, endpoint, namespace, kube_context, config, console)
    steps: list[str] = []

    def done(step: Step) -> None:
        steps.append(step.verb)
        say(console, past(step), why=f"the server had paused it, {file.name} does not" if steps == ["enable"] else "")

    schedule = apply_to(server, server.with_experiment(desired), done)
    if not steps:
        say(console, f"{desired.schedule.name} is as {file.name} says, nothing to do")
    next_runs(console, desired.schedule, schedule.run, schedule.created_at, zone)


@app.command()
def diff(
    file: File,
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    kube_context: KubeContext = None,
    config: Config = None,
    timezone: TimeZone = "UTC",
) -> None:
    """Show what `apply` would change. Changes nothing."""
    from lesionflow.kubeflow.schedule.display import changes, future, next_runs, say
    from lesionflow.kubeflow.schedule.reconcile import plan

    zone, console = _zone(timezone), Console()
    server, desired = _resolve(file, endpoint, namespace, kube_context, config, console)
    observed = server.observed(desired.schedule.name)
    steps = plan(desired, observed)
    if not steps:
        say(console, f"{desired.schedule.name} is as {file.name} says, nothing to do")
    else:
        changes(console, desired, observed, server, file.name)
        if not desired.experiment_id:
            say(console, f"create the experiment {desired.experiment}", mark="apply would")
        for step in steps:
            say(console, future(step), mark="apply would")
    next_runs(console, desired.schedule, desired.body(replacing=bool(observed)), datetime.now(UTC), zone)


@app.command("list")
def list_(
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    kube_context: KubeContext = None,
    config: Config = None,
    timezone: TimeZone = "UTC",
) -> None:
    """Show the schedules that were made from files."""
    from lesionflow.kubeflow.schedule.display import minute, say
    from lesionflow.kubeflow.schedule.view import is_left_behind, next_times, trigger, version

    zone, console = _zone(timezone), Console()
    server, _ = _connect(endpoint, namespace, kube_context, config)
    schedules = sorted(server.ours(), key=lambda each: (each.name, each.created_at))
    if not schedules:
        say(console, "There is none; `lesionflow schedule apply FILE` makes one", mark="")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("name", "trigger", f"next ({timezone})", "version", "last run"):
        table.add_column(title, overflow="fold")
    for each in schedules:
        last = server.last_run(each.id)
        since = (last.scheduled_at or last.created_at) if last else None
        future = next_times(each.run, since, each.created_at, datetime.now(UTC), zone, 1) if each.active else []
        table.add_row(
            escape(each.name),
            escape(trigger(each.run)),
            "[yellow]paused[/]" if not each.active else minute(future[0]) if future else "ended",
            escape(version(each.run, server)),
            f"{_OUTCOMES.get(str(last.state), '▸')} {since.astimezone(zone):%Y-%m-%d}" if last and since else "—",
        )
    console.print(table, highlight=False)
    if left := [each.name for each in schedules if is_left_behind(each.run, server)]:
        say(console, f"{', '.join(left)}: {_LEFT_BEHIND}", mark="[yellow]![/]")


@app.command()
def delete(
    name: Name,
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    kube_context: KubeContext = None,
    config: Config = None,
) -> None:
    """Delete a schedule. Its runs stay, also one at work."""
    from lesionflow.kubeflow.schedule.reconcile import removal

    def decide(observed: Sequence[Observed]) -> Step | None:
        ours = [each for each in observed if each.digest]
        return removal(ours[0]) if ours else None

    _change(name, decide, endpoint, namespace, kube_context, config)


@app.command()
def pause(
    name: Name,
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    kube_context: KubeContext = None,
    config: Config = None,
) -> None:
    """Let a schedule rest until `resume`, or the next `apply` of a file that does not say `paused: true`."""
    from lesionflow.kubeflow.schedule.display import say
    from lesionflow.kubeflow.schedule.reconcile import Step

    def decide(observed: Sequence[Observed]) -> Step | None:
        active = [each for each in observed if each.digest and each.active]
        return Step("disable", active[0]) if active else None

    _change(name, decide, endpoint, namespace, kube_context, config)
    say(Console(), "The next apply goes by its file: to stay paused, write `paused: true` there too", mark="")


@app.command()
def resume(
    name: Name,
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    kube_context: KubeContext = None,
    config: Config = None,
) -> None:
    """Let a paused schedule run again."""
    from lesionflow.kubeflow.schedule.display import say
    from lesionflow.kubeflow.schedule.reconcile import Step

    def decide(observed: Sequence[Observed]) -> Step | None:
        if len(observed) > 1:
            raise UserError(f"There are several schedules named {name!r}; `schedule apply` leaves the right one.")
        return Step("enable", observed[0]) if observed and not observed[0].active else None

    if _change(name, decide, endpoint, namespace, kube_context, config):
        # Also with catch-up off the server makes up for the latest.
        say(Console(), "If a run was missed meanwhile, one starts now", mark="")


def _change(
    name: str,
    decide: Callable[[Sequence[Observed]], Step | None],
    endpoint: str | None,
    namespace: str | None,
    kube_context: str | None,
    config: Path | None,
) -> bool:
    """Take the steps that `decide` wants, if the schedule is one of ours; return whether there were any."""
    from lesionflow.kubeflow.schedule.display import past, say
    from lesionflow.kubeflow.schedule.reconcile import settle

    server, _ = _connect(endpoint, namespace, kube_context, config)
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
        say(Console(), f"{name}: {past(step)}")
    if not steps:
        say(Console(), f"{name}: nothing to do")
    return bool(steps)


def _connect(
    endpoint: str | None, namespace: str | None, kube_context: str | None, config: Path | None
) -> tuple[Server, str]:
    """The server, and the experiment that its settings name."""
    from lesionflow.kubeflow.client.connection import connect
    from lesionflow.kubeflow.client.settings import ClusterSettings
    from lesionflow.kubeflow.schedule.recurring import Server

    settings = ClusterSettings.load(config, endpoint=endpoint, namespace=namespace, kube_context=kube_context)
    return Server(connect(settings)), settings.experiment


def _resolve(
    file: Path,
    endpoint: str | None,
    namespace: str | None,
    kube_context: str | None,
    config: Path | None,
    console: Console,
) -> tuple[Server, Desired]:
    from lesionflow.kubeflow.schedule.spec import LATEST, OF_ALL_PROFILES, load_schedule

    schedule, translated = load_schedule(file)
    left_behind = schedule.pipeline in OF_ALL_PROFILES and schedule.version == LATEST
    for note in (translated, f"{file.name}: {_LEFT_BEHIND}" if left_behind else ""):
        if note:
            console.print(note, style="yellow", markup=False, highlight=False, soft_wrap=True)
    server, experiment = _connect(endpoint, namespace, kube_context, config)
    return server, server.resolve(schedule, experiment, str(file))


def _zone(name: str) -> ZoneInfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UserError(f"--timezone: expected a name such as UTC or Europe/Vienna, received {name!r}.") from None
