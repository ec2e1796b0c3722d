"""How a run on this machine ended, and what to tell the user."""

from pathlib import Path

from rich.console import Console

from lesionflow.errors import BAD_INPUT, FAILED, PASSED, REFUSED
from lesionflow.runtime.events import RunEvents
from lesionflow.runtime.run_outcome import RunOutcome

KFP_LOG = "kfp.log"
"""What kfp itself says, among the logs of a run."""


def outcome_of(events: RunEvents, run: Path) -> RunOutcome:
    """Tell a refused model from bad input from a broken step.

    kfp.local says only "Inner task failed", in the same words for all three.
    """
    for state in events.steps.values():
        if state.status == "failed" and state.kind == "refused":
            return RunOutcome("refused", state.message, REFUSED)
        if state.status == "failed" and state.kind == "user":
            return RunOutcome("failed", state.message, BAD_INPUT)
        if state.status in ("failed", "stopped"):
            return RunOutcome("failed", f"The step {state.name} failed: {state.message}", FAILED)
        if state.status == "killed":
            return RunOutcome(
                "failed",
                f"The step {state.name} ended without a word, so it was killed: "
                "most likely by the system for lack of memory.",
                FAILED,
            )
    # Not before all others were looked at: of two steps that wait for nothing either may be the first.
    if missing := [state.name for state in events.steps.values() if state.status == "waiting"]:
        log = run / "logs" / KFP_LOG
        return RunOutcome("failed", f"The step {missing[0]} could not be started; see {log}.", FAILED)
    return RunOutcome("passed", "", PASSED)


def show_outcome(outcome: RunOutcome, console: Console, run: Path) -> None:
    """Print the error and where to read more."""
    if outcome.status == "failed":
        console.print(f"[bold red]Failed:[/] {outcome.error}", highlight=False, soft_wrap=True)
        if outcome.code == FAILED:
            console.print(f"Logs:     {run / 'logs'}", highlight=False, soft_wrap=True)
    if outcome.status == "interrupted":
        console.print(f"[bold yellow]{outcome.error}[/] The same command goes on where this run stopped.")
