"""`lesionflow logs`."""

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from lesionflow.cli.console import print_line
from lesionflow.cli.options.cluster import WhichRun, on_cluster

if TYPE_CHECKING:
    from lesionflow.kubeflow.client.settings import ClusterSettings


@on_cluster(experiment=True)
def logs(
    settings: "ClusterSettings",
    run: WhichRun,
    step: Annotated[str | None, typer.Argument(help="One step.", show_default="each that has begun")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Wait for more until the step ends.")] = False,
    fold: Annotated[
        int | None, typer.Option(min=1, help="One fold of a cross-validation.", show_default="each")
    ] = None,
) -> None:
    """Show what the steps of a run on the cluster wrote."""
    from lesionflow.errors import UserError
    from lesionflow.kubeflow.runs.chosen_run import choose_run
    from lesionflow.kubeflow.runs.logs import Logs, begun, task_of

    if step is not None:
        task_of(step)  # a wrong name is said without the cluster
    chosen = choose_run(settings, run)
    console, beside = Console(file=sys.stdout), Console(file=sys.stderr)

    def tell(sentence: str) -> None:
        print_line(beside, sentence, "yellow")

    reader = chosen.reader
    state = reader.look(chosen.run.run_id, chosen.run)
    wanted = [step] if step is not None else begun(state, chosen.run.run_id)
    if reader.lacks and follow:
        tell(reader.lacks)
    for name in wanted:
        if len(wanted) > 1:
            console.print(f"[bold]{name}[/]", highlight=False)
        # With several steps only the last can still be writing.
        followed = follow and name == wanted[-1]
        lines = Logs(chosen.client, reader, tell).lines(chosen.run, name, followed, None if fold is None else fold - 1)
        try:
            with closing(lines):
                for line in lines:
                    print_line(console, line)
        except UserError as error:
            if len(wanted) == 1:
                raise
            print_line(console, str(error), "yellow")
