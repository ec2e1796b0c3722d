"""The commands about models that are there already: `predict`, `compare` and `verify`."""

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

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


def compare(
    runs: Annotated[list[str], typer.Argument(help="Folders of runs, versions, or registries for their champions.")],
    output: Annotated[
        Path | None, typer.Option(help="JSON file to write as well.", show_default="none, only shown")
    ] = None,
) -> None:
    """Compare runs with the first one, on the test images that all of them scored."""
    from lesionflow.registry.compare import compare as compare_runs
    from lesionflow.registry.comparison_display import print_comparison
    from lesionflow.runtime.files import check_output, write_json

    if output:
        check_output(output)
    found = compare_runs(runs)
    if output:
        write_json(output, found.facts())
    print_comparison(Console(), found)


def verify(
    version: Annotated[str, typer.Argument(help="A version, or a registry for its champion; local, gs:// or s3://.")],
) -> None:
    """Check that a promoted version is what was promoted, and that its scores bear out its metrics."""
    from lesionflow.registry.verify import verify as verify_version

    console = Console()
    found = verify_version(version)
    for name, value in found.provenance.items():
        console.print(f"  {name:18}{escape(str(value)) if value is not None else 'not known'}", soft_wrap=True)
    for check in found.checks:
        mark = "[green]✓[/]" if check.held else "[red]✗[/]"
        console.print(f"{mark} {check.name:10}{escape(check.text)}", highlight=False, soft_wrap=True)
    console.print(f"{found.uri} is {'whole' if found.held else 'NOT to be trusted'}.", highlight=False, soft_wrap=True)
    raise typer.Exit(0 if found.held else 1)


@contextmanager
def _quiet_libraries() -> Generator[None]:
    """Hide what native code writes to file descriptor 2, unless the block breaks.

    TensorFlow 2.21 greets with several lines before any of its log-level variables takes effect.
    """
    kept = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except (UserError, KeyboardInterrupt):
            raise
        except BaseException:
            hidden.seek(0)
            os.write(kept, hidden.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
