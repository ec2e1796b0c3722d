"""`lesionflow schedule diff`."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console

from lesionflow.cli.options.cluster import on_cluster
from lesionflow.cli.schedule.options import File, TimeZone, zone_of

if TYPE_CHECKING:
    from lesionflow.kubeflow.client.settings import ClusterSettings


@on_cluster()
def diff(settings: "ClusterSettings", file: File, timezone: TimeZone = "UTC") -> None:
    """Show what `apply` would change. Changes nothing."""
    from lesionflow.kubeflow.schedule.display import changes, future, next_runs, say
    from lesionflow.kubeflow.schedule.named import resolve
    from lesionflow.kubeflow.schedule.reconcile import plan

    zone, console = zone_of(timezone), Console()
    server, desired = resolve(file, settings, console)
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
