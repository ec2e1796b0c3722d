"""`lesionflow compare`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


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
