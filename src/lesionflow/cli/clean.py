"""`lesionflow clean`."""

from typing import Annotated

import typer
from rich.console import Console

from lesionflow.cli.options.local import DEFAULT_OUTPUT, Output


def clean(
    keep: Annotated[int, typer.Option(min=0, help="How many of the newest runs stay.")] = 3,
    output: Output = DEFAULT_OUTPUT,
) -> None:
    """Remove old runs and the artifacts that no remaining run uses."""
    from lesionflow.local.clean import clean as clean_runs
    from lesionflow.local.workspace import Workspace

    freed, removed = clean_runs(Workspace(output.absolute()), keep)
    Console().print(f"Removed {removed} runs, freed {freed / 2**20:.0f} MiB.", highlight=False)
