"""`lesionflow schedule delete`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from lesionflow.cli.options.cluster import on_cluster
from lesionflow.cli.schedule.options import Name

if TYPE_CHECKING:
    from lesionflow.kubeflow.client.settings import ClusterSettings
    from lesionflow.kubeflow.schedule.desired import Observed
    from lesionflow.kubeflow.schedule.reconcile import Step


@on_cluster()
def delete(settings: "ClusterSettings", name: Name) -> None:
    """Delete a schedule. Its runs stay, also one at work."""
    from lesionflow.kubeflow.schedule.named import change
    from lesionflow.kubeflow.schedule.reconcile import removal

    def decide(observed: "Sequence[Observed]") -> "Step | None":
        ours = [each for each in observed if each.digest]
        return removal(ours[0]) if ours else None

    change(settings, name, decide, Console())
