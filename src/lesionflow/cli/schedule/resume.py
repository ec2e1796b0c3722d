"""`lesionflow schedule resume`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from lesionflow.cli.options.cluster import on_cluster
from lesionflow.cli.schedule.options import Name
from lesionflow.errors import UserError

if TYPE_CHECKING:
    from lesionflow.kubeflow.client.settings import ClusterSettings
    from lesionflow.kubeflow.schedule.desired import Observed


@on_cluster()
def resume(settings: "ClusterSettings", name: Name) -> None:
    """Let a paused schedule run again."""
    from lesionflow.kubeflow.schedule.display import say
    from lesionflow.kubeflow.schedule.named import change
    from lesionflow.kubeflow.schedule.reconcile import Step

    def decide(observed: "Sequence[Observed]") -> Step | None:
        if len(observed) > 1:
            raise UserError(f"There are several schedules named {name!r}; `schedule apply` leaves the right one.")
        return Step("enable", observed[0]) if observed and not observed[0].active else None

    console = Console()
    if change(settings, name, decide, console):
        # Also with catch-up off the server makes up for the latest.
        say(console, "If a run was missed meanwhile, one starts now", mark="")
