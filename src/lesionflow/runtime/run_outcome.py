"""How a run ended, wherever it ran."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class RunOutcome:
    """The end of a run."""

    status: Literal["passed", "refused", "failed", "interrupted"]
    error: str
    """A sentence; empty if it passed."""
    code: int
    """The exit code of the command."""
