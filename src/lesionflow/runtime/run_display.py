"""What a person sees of a run: one tidy line per step, then a summary."""

import math
import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lesionflow.runtime.events import RunEvents, StepState

_SYMBOLS = {
    "waiting": "[dim]·[/]",
    "running": "[cyan]▸[/]",
    "done": "[green]✓[/]",
    "reused": "[green]↻[/]",
    "failed": "[red]✗[/]",
    "stopped": "[yellow]■[/]",
    "killed": "[red]✗[/]",
}
_BAR = 20


class RunDisplay:
    """Shows a run while it works: live on a terminal, a line per finished step elsewhere.

    With `verbose`, everything the tasks write is passed through as well.
    """

    def __init__(self, console: Console, steps: list[str], verbose: bool) -> None:
        self._console = console
        self._width = max(map(len, steps))
        self._verbose = verbose
        self._printed: set[str] = set()
        self._offsets: dict[str, int] = {}
        self._steps = Table.grid()
        self._live = Live(console=console, refresh_per_second=8, redirect_stdout=False, redirect_stderr=False)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.update(self._steps)  # what was to be noticed has passed
        self._live.stop()

    def watch(self, events: RunEvents) -> None:
        """Show the present state; for `run_pipeline`."""
        if self._verbose:
            self._pass_logs_through(events)
        if self._console.is_terminal:
            self._steps = self._table(list(events.steps.values()))
            self._live.update(Group(self._steps, Text(events.notice, "yellow")))
            return
        if events.notice and events.notice not in self._printed:
            self._printed.add(events.notice)
            self._console.print(events.notice, style="yellow", markup=False, highlight=False, soft_wrap=True)
        for state in events.steps.values():
            if state.status not in ("waiting", "running") and state.name not in self._printed:
                self._printed.add(state.name)
                self._console.print(step_line(state, self._width), highlight=False, soft_wrap=True)

    def _table(self, states: list[StepState]) -> Table:
        table = Table.grid(padding=(0, 2))
        for state in states:
            table.add_row(step_line(state, self._width))
        return table

    def _pass_logs_through(self, events: RunEvents) -> None:
        logs = events.folder.parent / "logs"
        for file in sorted(logs.rglob("*.log")):
            name = str(file.relative_to(logs).with_suffix(""))
            with file.open("rb") as stream:
                stream.seek(self._offsets.get(name, 0))
                text = stream.read()
            self._offsets[name] = self._offsets.get(name, 0) + len(text)
            for line in text.decode(errors="replace").splitlines():
                self._console.print(f"{name}: {line}", markup=False, highlight=False, style="dim", soft_wrap=True)


def step_line(state: StepState, width: int) -> str:
    """One step on one line, its name padded to `width`."""
    elapsed = time.time() - state.started if state.status == "running" else state.seconds
    shown = "" if state.status in ("waiting", "reused") or math.isnan(elapsed) else clock(elapsed)
    headline = "" if state.status == "failed" and state.kind != "refused" else state.headline
    if state.status == "running" and state.total:
        filled = round(_BAR * min(1, state.done / state.total))
        headline = f"[cyan]{'━' * filled}[/][dim]{'━' * (_BAR - filled)}[/] {headline}"
    return f"{_SYMBOLS[state.status]} {state.name:<{width}}  {state.status:<7} {shown:>7}  {headline}"


def clock(seconds: float) -> str:
    """A duration as people read it; hours only where there are some."""
    if seconds >= 3600:
        return f"{int(seconds) // 3600}:{int(seconds) % 3600 // 60:02d}:{int(seconds) % 60:02d}"
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
