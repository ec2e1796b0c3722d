"""Where verbs print."""

import sys

from rich.console import Console


def console_of_run() -> Console:
    """A console that keeps writing to the terminal while sys.stdout is redirected to kfp's log."""
    return Console(file=sys.stdout)


def print_line(console: Console, text: str, style: str | None = None) -> None:
    """Print a line as it is: no markup in it, no colours of rich's own, and no line breaks."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
