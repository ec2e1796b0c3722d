"""What a person sees of a comparison."""

import re

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lesionflow.metrics.classification import AVERAGES
from lesionflow.registry.compare import Comparison, compared_metrics
from lesionflow.runtime.metric_text import format_metric

_DIGEST = re.compile(r"[0-9a-f]{64}")


def print_comparison(console: Console, found: Comparison) -> None:
    """The runs, a table of differences for each but the first, and what else differs between them."""
    table = _table("", "run", "verdict", "tested on", left=3)
    for number, run in enumerate(found.runs, start=1):
        table.add_row(str(number), escape(run.name), run.verdict, f"{len(run.scores):,} images")
    console.print(table)
    console.print()
    same = all(len(run.scores) == found.images for run in found.runs)
    which = "the same test images" if same else "the test images that all have scored"
    console.print(f"On {which}: {found.images:,} images of {found.lesions:,} lesions.", highlight=False)
    for number, differences in enumerate(found.differences, start=2):
        console.print()
        table = _table("", "1", str(number), f"{number} minus 1", "95 % interval", "p", left=1)
        for name in compared_metrics(found.runs[0].codes):
            difference = differences[name]
            low, high = difference.interval
            clear = difference.p is not None and difference.p < 0.05
            table.add_row(
                AVERAGES.get(name, name.replace(":", " of ")),
                format_metric(found.metrics[0][name]),
                format_metric(found.metrics[number - 1][name]),
                _signed(difference.value),
                "n/a" if low is None or high is None else f"{_signed(low)} to {_signed(high)}",
                "n/a" if difference.p is None else f"{difference.p:.3f}",
                style="bold" if clear else None,
            )
        console.print(table)
    console.print()
    console.print(
        "Intervals by a paired bootstrap over lesions: the chance in the test lesions. Another seed of the same recipe "
        "differs by more, and of a dozen rows one may stand out by chance.",
        style="dim",
        highlight=False,
    )
    console.print()
    if not found.changed:
        console.print("Recipe, data, seed and versions are the same.", highlight=False)
        return
    table = _table("what differs", *(str(number) for number in range(1, len(found.runs) + 1)), left=9)
    for name, values in found.changed.items():
        table.add_row(escape(name), *(escape(_DIGEST.sub(lambda m: m[0][:12], value)) for value in values))
    console.print(table)


def _table(*headings: str, left: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index < left else "right", overflow="fold")
    return table


def _signed(value: float | None) -> str:
    return "n/a" if value is None else f"{value:+.3f}"
