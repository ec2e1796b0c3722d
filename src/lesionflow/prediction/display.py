"""What a person sees of `lesionflow predict`: a bar while it works, then the first rows and where all of them are."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from lesionflow.prediction.predict import Predicted, Watch

_TEXT = ("image_id", "predicted", "abstain")
"""Columns that hold no probability; `error` is never shown."""


@contextmanager
def progress_of(console: Console) -> Generator[Watch]:
    """A bar on a terminal, nothing elsewhere."""
    columns = (TextColumn("classifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("classifying", total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)


def print_predicted(console: Console, predicted: Predicted, output: Path) -> None:
    """The first rows, then a line or two about all of them."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    # All but `error`, the last: sentences do not fit.
    shown = [index for index in range(len(predicted.columns) - 1) if any(row[index] for row in predicted.first)]
    for index in shown:
        name = predicted.columns[index]
        text = name in _TEXT
        width = max(5, len(name))
        table.add_column(name, justify="left" if text else "right", no_wrap=True, min_width=width)
    for row in predicted.first:
        table.add_row(*(_shown(predicted.columns[index], row[index]) for index in shown))
    console.print(table)
    if predicted.images > len(predicted.first):
        console.print(f"... and {predicted.images - len(predicted.first):,} more", highlight=False)
    if predicted.found:
        console.print(f"{predicted.found:,} of {predicted.images:,} images were classified before.", highlight=False)
    if predicted.failed:
        console.print(
            f"{predicted.failed:,} of {predicted.images:,} images cannot be read; the column error says why.",
            style="yellow",
            highlight=False,
        )
    console.print(f"Written to {output}", highlight=False, soft_wrap=True)


def _shown(column: str, cell: str) -> str:
    return cell if column in _TEXT or not cell else f"{float(cell):.3f}"
