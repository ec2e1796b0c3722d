"""The `lesionflow` command in the test's own process, where a second per call counts."""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from lesionflow.cli import main as cli

TOKEN = "secret-token-5f1c9a"
"""What proves to a stand-in server who asks; must never be shown."""


@dataclass
class Result:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    def sentence(self) -> str:
        """The one sentence that an unsuccessful command says."""
        assert self.code in (1, 2)
        assert re.fullmatch(r"(Error|Failed): [^\n]+\n", self.err), self.err
        return self.err


Command = Callable[..., Result]


def run_here(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> Result:
    """Run the command as its entry point does; neither the token nor a traceback may be in what it says."""
    patch.setattr(sys, "argv", ["lesionflow", *arguments])
    capsys.readouterr()
    code: Any = 0
    try:
        cli.main()
    except SystemExit as end:
        code = end.code or 0
    out, err = capsys.readouterr()
    assert TOKEN not in out + err
    assert "Traceback" not in out + err
    return Result(int(code), out, err)
