"""`lesionflow verify`."""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape


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
    console.print(
        f"{found.address} is {'whole' if found.held else 'NOT to be trusted'}.", highlight=False, soft_wrap=True
    )
    raise typer.Exit(0 if found.held else 1)
