"""What a person sees of `lesionflow doctor`: a line per check as it ends, then the sum."""

from collections.abc import Collection, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lesionflow.kubeflow.doctor.findings import Finding, Status

_SYMBOLS = {
    Status.FINE: ("✓", "green"),
    Status.BUSY: ("!", "yellow"),
    Status.PARTLY: ("!", "yellow"),
    Status.CROSS: ("✗", "red"),
    Status.UNCHECKED: ("?", "yellow"),
    Status.SKIPPED: ("·", "dim"),
}
_SUMS = {
    Status.FINE: "fine",
    Status.BUSY: "busy now",
    Status.PARTLY: "in part",
    Status.CROSS: "to fix",
    Status.UNCHECKED: "could not be checked",
    Status.SKIPPED: "skipped",
}


class DoctorDisplay:
    """A table that grows a row at a time."""

    def __init__(self, console: Console, names: Sequence[str]) -> None:
        self._console = console
        self._width = max(map(len, names))
        self._status = console.status("")  # shows nothing where there is no terminal

    def starting(self, name: str) -> None:
        """A check begins."""
        self._status.update(f"{name} ...")
        self._status.start()

    def finished(self, name: str, finding: Finding) -> None:
        """A check has ended."""
        self._status.stop()
        symbol, style = _SYMBOLS[finding.status]
        row = Table.grid(padding=(0, 2))
        row.add_column(width=1)
        row.add_column(width=self._width)
        row.add_column(overflow="fold")
        row.add_row(Text(symbol, style), name, Text(finding.what, "dim" if finding.status is Status.SKIPPED else ""))
        if finding.hint:
            row.add_row("", "", Text(f"→ {finding.hint}", "bold" if finding.status is Status.CROSS else ""))
        self._console.print(row)

    def summary(self, findings: Collection[Finding]) -> int:
        """Print how many checks ended how.

        Returns:
            The exit code: 1 if there is a cross.
        """
        statuses = [finding.status for finding in findings]
        sums = [f"{statuses.count(status)} {word}" for status, word in _SUMS.items() if status in statuses]
        self._console.print(", ".join(sums) + ".", style="bold", highlight=False)
        return int(Status.CROSS in statuses)
