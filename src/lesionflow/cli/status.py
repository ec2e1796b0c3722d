"""`lesionflow status`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from lesionflow.cli.console import print_line
from lesionflow.cli.options.cluster import on_cluster

if TYPE_CHECKING:
    from lesionflow.kubeflow.client.settings import ClusterSettings


@on_cluster(experiment=True)
def status(
    settings: "ClusterSettings",
    run: Annotated[
        str | None, typer.Argument(help="Its id, the beginning of it, or its name.", show_default="the newest")
    ] = None,
) -> None:
    """Show how far a run on the cluster is, step by step."""
    from lesionflow.kubeflow.client.connection import run_url
    from lesionflow.kubeflow.runs.chosen_run import choose_run
    from lesionflow.kubeflow.runs.run_list import facts_of
    from lesionflow.kubeflow.runs.runs import verdict_of
    from lesionflow.runtime.run_display import step_line

    chosen = choose_run(settings, run)
    found, reader = chosen.run, chosen.reader
    console = Console(file=sys.stdout)
    now = reader.look(found.run_id, found)
    started, duration, state = facts_of(found)
    for label, text in (
        ("Run", f"{found.display_name}, {found.run_id}"),
        ("See", run_url(settings, found.run_id)),
        ("Is", ", ".join(filter(None, (state, verdict_of(now), started and f"started {started}", duration)))),
    ):
        if text:
            print_line(console, f"{label + ':':<5} {text}")
    steps = now.steps()
    for step in steps.values():
        console.print(step_line(step, max(map(len, steps))), highlight=False, soft_wrap=True)
    if reader.lacks:
        print_line(console, reader.lacks, "yellow")
