"""`lesionflow step`."""

from pathlib import Path
from typing import Annotated

import typer

from lesionflow.cli.console import console_of_run
from lesionflow.cli.options.local import Verbose


def step(
    name: Annotated[
        str,
        typer.Argument(
            help="fingerprint, ingest, duplicates, split, balance, finetune, evaluate, gate, export, promote"
        ),
    ],
    artifacts: Annotated[list[str], typer.Option("--input", metavar="NAME=URI", help="An input artifact.")] = [],  # noqa: B006
    values: Annotated[list[str], typer.Option("--set", metavar="NAME=VALUE", help="A parameter.")] = [],  # noqa: B006
    output: Annotated[
        Path | None, typer.Option(help="Folder for the outputs.", show_default="lesionflow-runs/steps/...")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Run one component alone, on local, gs:// or s3:// artifacts."""
    from lesionflow.local.one_step import run_one

    raise typer.Exit(run_one(name, artifacts, values, output, console_of_run(), verbose))
