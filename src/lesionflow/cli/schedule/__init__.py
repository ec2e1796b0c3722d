"""`lesionflow schedule`: periodic retraining, as a file says; one file per verb."""

import typer

from lesionflow.cli.schedule.apply import apply
from lesionflow.cli.schedule.delete import delete
from lesionflow.cli.schedule.diff import diff
from lesionflow.cli.schedule.list import list_
from lesionflow.cli.schedule.pause import pause
from lesionflow.cli.schedule.resume import resume

app = typer.Typer(help="Periodic retraining, as a file says.", no_args_is_help=True)
for verb in (apply, diff, list_, delete, pause, resume):
    app.command(name=verb.__name__.rstrip("_"))(verb)
