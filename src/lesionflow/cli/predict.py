"""`lesionflow predict`."""

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lesionflow.compat.process import errors_into
from lesionflow.errors import UserError


def predict(
    images: Annotated[list[str], typer.Argument(help="Image files, folders, zips; local, gs:// or s3://.")],
    model: Annotated[str, typer.Option(help="Registry, version or model folder; local, gs:// or s3://.")],
    output: Annotated[Path, typer.Option(help="CSV to write; an interrupted command goes on with it.")] = Path(
        "predictions.csv"
    ),
) -> None:
    """Classify images with a trained model. Not a medical device."""
    from lesionflow.prediction.display import print_predicted, progress_of
    from lesionflow.prediction.predict import predict as predict_images
    from lesionflow.runtime.files import check_output

    console = Console()
    check_output(output)
    try:
        with _quiet_libraries(), progress_of(console) as watch:
            predicted = predict_images(model, images, output, watch, lambda note: console.print(note, style="yellow"))
    except KeyboardInterrupt:
        Console(stderr=True).print("Interrupted. The same command goes on where this one stopped.")
        raise typer.Exit(130) from None
    print_predicted(console, predicted, output)


@contextmanager
def _quiet_libraries() -> Generator[None]:
    """Hide what native code writes to file descriptor 2, unless the block breaks."""
    with tempfile.TemporaryFile() as hidden:
        try:
            with errors_into(hidden):
                yield
        except (UserError, KeyboardInterrupt):
            raise
        except BaseException:
            hidden.seek(0)
            os.write(2, hidden.read())
            raise
