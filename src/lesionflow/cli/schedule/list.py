"""`lesionflow schedule list`."""

from typing import TYPE_CHECKING

from rich.console import Console

from lesionflow.cli.options.cluster import on_cluster
from lesionflow.cli.schedule.options import TimeZone, zone_of

if TYPE_CHECKING:
    from lesionflow.kubeflow.client.settings import ClusterSettings


@on_cluster()
def list_(settings: "ClusterSettings", timezone: TimeZone = "UTC") -> None:
    """Show the schedules that were made from files."""
    from lesionflow.kubeflow.schedule.display import show_all
    from lesionflow.kubeflow.schedule.named import server_of

    zone = zone_of(timezone)
    show_all(Console(), server_of(settings), zone)
