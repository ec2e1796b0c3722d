"""The `lesionflow` command in the test's own process, where a second per call counts."""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lesionflow.cli import main as cli
from lesionflow.kubeflow.client import transport
from lesionflow.kubeflow.client.settings import _SECRETS, _VARIABLES

TOKEN = "secret-token-5f1c9a"
"""What proves to a stand-in server who asks; must never be shown."""


def forget_machine(tmp_path: Path, patch: pytest.MonkeyPatch, columns: int) -> None:
    """Let a command see no settings but a test's own, no kubeconfig, and so wide a terminal; and lose no time."""
    for variable in (_VARIABLES | _SECRETS).values():
        patch.delenv(variable, raising=False)
    patch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    patch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    patch.setenv("COLUMNS", str(columns))
    patch.chdir(tmp_path)
    patch.setattr(transport, "PAUSES", (0.0, 0.0, 0.0))


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
