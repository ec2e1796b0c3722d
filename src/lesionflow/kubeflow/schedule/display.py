"""What the `schedule` commands print."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from kfp_server_api import V2beta1RecurringRun
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lesionflow.kubeflow.schedule.desired import Desired, Observed
from lesionflow.kubeflow.schedule.reconcile import Step
from lesionflow.kubeflow.schedule.recurring import Server
from lesionflow.kubeflow.schedule.spec import Schedule
from lesionflow.kubeflow.schedule.view import LEFT_BEHIND, is_left_behind, next_times, settings, trigger, version

_RESULTS = {"SUCCEEDED": "[green]✓[/]", "FAILED": "[red]✗[/]", "CANCELED": "[red]✗[/]"}


def say(console: Console, text: str, mark: str = "[green]✓[/]", why: str = "") -> None:
    """One line."""
    line = " ".join(part for part in (mark, escape(text)) if part)
    console.print(line + (f"; {escape(why)}" if why else ""), highlight=False, soft_wrap=True)


def changes(console: Console, desired: Desired, observed: list[Observed], server: Server, file: str) -> None:
    """What differs between the server and the file, setting by setting."""
    wanted = settings(desired.body(replacing=bool(observed)), server)
    wanted |= {"experiment": desired.experiment} | ({"paused": "true"} if desired.schedule.paused else {})
    if not observed:
        say(console, f"{desired.schedule.name} is not on the server", mark="")
        _table(console, ["", file], [[escape(name), f"[green]{escape(value)}[/]"] for name, value in wanted.items()])
    for each in observed:
        there = settings(each.run, server) | ({} if each.active else {"paused": "true"})
        names = [name for name in {**there, **wanted} if there.get(name) != wanted.get(name)]
        origin = "" if each.digest else ", not made from a file"
        created = minute(each.created_at.astimezone(UTC))
        say(console, f"{each.name}, on the server since {created} UTC{origin}", mark="")
        rows = [
            [escape(name), f"[red]{escape(there.get(name, '—'))}[/]", f"[green]{escape(wanted.get(name, '—'))}[/]"]
            for name in names
        ]
        _table(console, ["", "on the server", file], rows or [["the same settings"]])


def next_runs(
    console: Console, schedule: Schedule, run: V2beta1RecurringRun, created: datetime, zone: ZoneInfo
) -> None:
    """When a schedule runs next, in the time zone that is assumed for the server."""
    if schedule.paused:
        say(console, "It is paused, so it does not run", mark="")
        return
    future = next_times(run, None, created, datetime.now(UTC), zone, 3)
    if not future:
        say(console, "It does not run any more: its end is past", mark="")
        return
    say(console, f"Next: {', '.join(minute(moment) for moment in future)} {zone.key}", mark="")
    if schedule.cron:
        say(console, f"if the server's time zone is {zone.key}; --timezone says otherwise", mark="     ")


def show_all(console: Console, server: Server, zone: ZoneInfo) -> None:
    """The schedules that were made from files, as a table; times are in `zone`."""
    schedules = sorted(server.ours(), key=lambda each: (each.name, each.created_at))
    if not schedules:
        say(console, "There is none; `lesionflow schedule apply FILE` makes one", mark="")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("name", "trigger", f"next ({zone.key})", "version", "last run"):
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
            f"{_RESULTS.get(str(last.state), '▸')} {since.astimezone(zone):%Y-%m-%d}" if last and since else "—",
        )
    console.print(table, highlight=False)
    if left := [each.name for each in schedules if is_left_behind(each.run, server)]:
        say(console, f"{', '.join(left)}: {LEFT_BEHIND}", mark="[yellow]![/]")


def past(step: Step) -> str:
    """What was done."""
    words = {"create": "created, disabled", "enable": "enabled", "disable": "disabled", "delete": "deleted"}
    return words[step.verb] + _which(step)


def future(step: Step) -> str:
    """What would be done."""
    words = {"create": "create it, disabled", "enable": "enable it", "disable": "disable", "delete": "delete"}
    return words[step.verb] + _which(step)


def minute(moment: datetime) -> str:
    """A time as people write it."""
    return f"{moment:%Y-%m-%d %H:%M}"


def _which(step: Step) -> str:
    if step.verb not in ("delete", "disable") or step.target is None:
        return ""
    origin = "" if step.target.digest else ", which was not made from a file"
    return f" the one of {minute(step.target.created_at.astimezone(UTC))} UTC{origin}"


def _table(console: Console, titles: list[str], rows: list[list[str]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in titles:
        table.add_column(escape(title), overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table, highlight=False)
