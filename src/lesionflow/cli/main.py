"""The `lesionflow` command. Each verb is in the file of its name, and imports what it needs when it is called."""

import sys
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from lesionflow.cli.clean import clean
from lesionflow.cli.compare import compare
from lesionflow.cli.compile import compile_
from lesionflow.cli.doctor import doctor
from lesionflow.cli.list import list_
from lesionflow.cli.logs import logs
from lesionflow.cli.predict import predict
from lesionflow.cli.run import run
from lesionflow.cli.schedule import app as schedule
from lesionflow.cli.status import status
from lesionflow.cli.step import step
from lesionflow.cli.stop import stop
from lesionflow.cli.submit import submit
from lesionflow.cli.synth import synth
from lesionflow.cli.verify import verify
from lesionflow.errors import ClusterError, GateRefused, UserError

app = typer.Typer(
    name="lesionflow",
    help="Dermatoscopic images in, a gated skin-lesion classifier out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for verb in (
    run, step, synth, compile_, clean, submit, status, logs, stop, list_, doctor, predict, compare, verify
):  # fmt: skip
    app.command(name=verb.__name__.rstrip("_"))(verb)
app.add_typer(schedule, name="schedule")


def main() -> None:
    """Entry point: a user's mistake ends in one sentence and exit code 2, without a traceback."""
    console = Console(stderr=True)

    def fail(word: str, error: Exception, code: int) -> NoReturn:
        console.print(f"[bold red]{word}:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(code)

    try:
        app()
    except UserError as error:
        fail("Error", error, 2)
    except ClusterError as error:
        fail("Failed", error, 1)
    except GateRefused as error:
        fail("Refused", error, 3)
    except KeyboardInterrupt:
        console.print("Interrupted.")
        sys.exit(130)
