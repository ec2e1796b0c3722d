"""Options of verbs that talk to a cluster.

There is none for a token: what is on a command line is in the shell's history and in every process list.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

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

Profile = Annotated[str, typer.Option(help="Kind of cluster: gke, generic, cpu-only, or a YAML file.")]
ServiceAccount = Annotated[str | None, typer.Option(help="Of the run's pods.", show_default="the profile's")]
PipelineRoot = Annotated[
    str | None, typer.Option(help="gs:// or s3:// prefix for artifacts.", show_default="the namespace's")
]
WhichRun = Annotated[str, typer.Argument(help="Its id, the beginning of it, or its name.")]

_SETTINGS = {"endpoint": Endpoint, "namespace": Namespace, "kube_context": KubeContext, "config": Config}


def on_cluster(experiment: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a verb the options by which a cluster is reached, in place of its first parameter, `settings`.

    Args:
        experiment: whether it is about the runs of an experiment, so that there is an option for that too.

    Returns:
        A decorator. What it makes raises `UserError` as `ClusterSettings.load` does.
    """
    options: dict[str, Any] = {"experiment": Experiment, **_SETTINGS} if experiment else _SETTINGS

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        own = [one for one in inspect.signature(verb).parameters.values() if one.name != "settings"]

        @wraps(verb)
        def with_settings(**given: Any) -> None:
            from lesionflow.kubeflow.client.settings import ClusterSettings

            found = {name: given.pop(name) for name in options}
            verb(ClusterSettings.load(found.pop("config"), **found), **given)

        added = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
            for name, option in options.items()
        ]
        # What typer reads options from.
        with_settings.__signature__ = inspect.Signature([*own, *added])  # pyright: ignore[reportAttributeAccessIssue]
        with_settings.__annotations__ = {one.name: one.annotation for one in [*own, *added]} | {"return": None}
        return with_settings

    return decorate
