"""What a check may find."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How one check ended."""

    FINE = "fine"
    BUSY = "busy"
    """Right, but what is asked for is taken at the moment: the run will wait."""
    PARTLY = "partly"
    """Works, but not in every case; what is said tells in which."""
    CROSS = "cross"
    """A run would fail, or wait for ever."""
    UNCHECKED = "unchecked"
    """Nothing is known: a permission is missing, or only the cluster can tell."""
    SKIPPED = "skipped"
    """Not tried: a check it builds on has a cross, or nothing was given to check."""


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    status: Status
    what: str
    hint: str = ""
    """What to do about it; every cross has one."""


def fine(what: str) -> Finding:
    return Finding(Status.FINE, what)


def busy(what: str, hint: str = "") -> Finding:
    return Finding(Status.BUSY, what, hint)


def partly(what: str, hint: str) -> Finding:
    return Finding(Status.PARTLY, what, hint)


def cross(what: str, hint: str) -> Finding:
    return Finding(Status.CROSS, what, hint)


def unchecked(why: str, hint: str = "") -> Finding:
    return Finding(Status.UNCHECKED, f"could not be checked: {why}", hint)


def skipped(why: str) -> Finding:
    return Finding(Status.SKIPPED, f"skipped: {why}")
