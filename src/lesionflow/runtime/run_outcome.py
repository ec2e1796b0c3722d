"""How a run ended, and what to tell the user."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from lesionflow.runtime.events import RunEvents

KFP_LOG = "kfp.log"
"""What kfp itself says, among the logs of a run on this machine."""

PASSED, FAILED, BAD_INPUT, REFUSED = 0, 1, 2, 3
"""Exit codes of the command."""


@dataclass(frozen=True)
class Outcome:
    """`status` is passed, refused, failed or interrupted; `error` a sentence unless passed or refused."""

    status: str
    error: str
    code: int

    def show(self, console: Console, run: Path) -> None:
        """Print the error and where to read more."""
        if self.status == "failed":
            console.print(f"[bold red]Failed:[/] {self.error}", highlight=False, soft_wrap=True)
            if self.code == FAILED:
                console.print(f"Logs:     {run / 'logs'}", highlight=False, soft_wrap=True)
        if self.status == "interrupted":
            console.print(f"[bold yellow]{self.error}[/] The same command goes on where this run stopped.")


def judge_run(events: RunEvents, run: Path) -> Outcome:
    """Tell a refused model from bad input from a broken step.

    kfp.local says only "Inner task failed", in the same words for all three.
    """
    for state in events.steps.values():
        if state.status == "failed" and state.kind == "refused":
            return Outcome("refused", state.message, REFUSED)
        if state.status == "failed" and state.kind == "user":
            return Outcome("failed", state.message, BAD_INPUT)
        if state.status in ("failed", "stopped"):
            return Outcome("failed", f"The step {state.name} failed: {state.message}", FAILED)
        if state.status == "killed":
            return Outcome(
                "failed",
                f"The step {state.name} ended without a word, so it was killed: "
                "most likely by the system for lack of memory.",
                FAILED,
            )
        if state.status == "waiting":
            log = run / "logs" / KFP_LOG
            return Outcome("failed", f"The step {state.name} could not be started; see {log}.", FAILED)
    return Outcome("passed", "", PASSED)
