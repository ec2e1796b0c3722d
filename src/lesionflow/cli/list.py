"""`lesionflow list`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from lesionflow.cli.options.cluster import on_cluster

if TYPE_CHECKING:
    from lesionflow.kubeflow.client.settings import ClusterSettings


@on_cluster(experiment=True)
def list_(
    settings: "ClusterSettings",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many of the newest.")] = 10,
) -> None:
    """List the newest runs of an experiment on the cluster."""
    from lesionflow.kubeflow.client.connection import connect
    from lesionflow.kubeflow.runs.run_list import table_of
    from lesionflow.kubeflow.runs.run_reader import RunReader
    from lesionflow.kubeflow.runs.runs import newest_runs

    client = connect(settings)
    runs = newest_runs(client, settings.experiment, limit)
    Console(file=sys.stdout).print(table_of(RunReader(client, settings), runs))
