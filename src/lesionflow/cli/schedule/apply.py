"""`lesionflow schedule apply`."""

from typing import TYPE_CHECKING

from rich.console import Console

from lesionflow.cli.options.cluster import on_cluster
from lesionflow.cli.schedule.options import File, TimeZone, zone_of

if TYPE_CHECKING:
    from lesionflow.kubeflow.client.settings import ClusterSettings
    from lesionflow.kubeflow.schedule.reconcile import Step


@on_cluster()
def apply(settings: "ClusterSettings", file: File, timezone: TimeZone = "UTC") -> None:
    """Make the server's schedule what the file says; nothing if it is already."""
    from lesionflow.kubeflow.schedule.display import next_runs, past, say
    from lesionflow.kubeflow.schedule.named import resolve
    from lesionflow.kubeflow.schedule.reconcile import reconcile

    zone, console = zone_of(timezone), Console()
    server, desired = resolve(file, settings, console)
    steps: list[str] = []

    def done(step: "Step") -> None:
        steps.append(step.verb)
        say(console, past(step), why=f"the server had paused it, {file.name} does not" if steps == ["enable"] else "")

    schedule = reconcile(server, server.with_experiment(desired), done)
    if not steps:
        say(console, f"{desired.schedule.name} is as {file.name} says, nothing to do")
    next_runs(console, desired.schedule, schedule.run, schedule.created_at, zone)
