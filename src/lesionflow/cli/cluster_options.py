"""Options that every command that talks to a cluster understands.

There is none for a token: what is on a command line is in the shell's history and in every process list.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lesionflow.kubeflow.client.settings import ClusterSettings

Endpoint = Annotated[
    str | None,
    typer.Option(help="URL of Kubeflow Pipelines.", show_default="the cluster this runs in, or your kubeconfig's"),
]
Namespace = Annotated[
    str | None, typer.Option(help="Where the runs' pods are: your own, if there are several.", show_default="kubeflow")
]
KubeContext = Annotated[str | None, typer.Option("--kube-context", help="Of your kubeconfig.", show_default="current")]
Config = Annotated[
    Path | None,
    typer.Option(
        help="File with these settings.", show_default="./lesionflow.yaml, then ~/.config/lesionflow/config.yaml"
    ),
]
Experiment = Annotated[str | None, typer.Option(help="Experiment of the runs.", show_default="lesionflow")]


def settings_of(
    config: Path | None, experiment: str | None, endpoint: str | None, namespace: str | None, kube_context: str | None
) -> "ClusterSettings":
    """The settings of a command that was given these options; raises as `ClusterSettings.load`."""
    from lesionflow.kubeflow.client.settings import ClusterSettings

    flags = {"experiment": experiment, "endpoint": endpoint, "namespace": namespace, "kube_context": kube_context}
    return ClusterSettings.load(config, **flags)
