"""`lesionflow schedule pause`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from lesionflow.cli.options.cluster import on_cluster
from lesionflow.cli.schedule.options import Name

if TYPE_CHECKING:
    from lesionflow.kubeflow.client.settings import ClusterSettings
    from lesionflow.kubeflow.schedule.desired import Observed


@on_cluster()
def pause(settings: "ClusterSettings", name: Name) -> None:
    """Let a schedule rest until `resume`, or the next `apply` of a file that does not say `paused: true`."""
    from lesionflow.kubeflow.schedule.display import say
    from lesionflow.kubeflow.schedule.named import change
    from lesionflow.kubeflow.schedule.reconcile import Step

    def decide(observed: "Sequence[Observed]") -> Step | None:
        active = [each for each in observed if each.digest and each.active]
        return Step("disable", active[0]) if active else None

    console = Console()
    change(settings, name, decide, console)
    say(console, "The next apply goes by its file: to stay paused, write `paused: true` there too", mark="")
