"""`lesionflow stop`."""

import sys
from typing import TYPE_CHECKING

from rich.console import Console

from lesionflow.cli.console import print_line
from lesionflow.cli.options.cluster import WhichRun, on_cluster

if TYPE_CHECKING:
    from lesionflow.kubeflow.client.settings import ClusterSettings


@on_cluster(experiment=True)
def stop(settings: "ClusterSettings", run: WhichRun) -> None:
    """Stop a run on the cluster, and its pods."""
    from lesionflow.kubeflow.runs.chosen_run import choose_run
    from lesionflow.kubeflow.runs.stop import stop_run

    chosen = choose_run(settings, run)
    print_line(Console(file=sys.stdout), stop_run(chosen.client, chosen.run))
