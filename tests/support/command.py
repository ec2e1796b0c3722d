"""The `lesionflow` command, used as a user uses it."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = str(Path(sys.executable).with_name("lesionflow"))

RECIPE = {
    "name": "tiny-test",
    "backbone": "tiny",
    "input_size": 48,
    "batch_size": 16,
    "balance": "sqrt",
    "head": {"epochs": 2, "learning_rate": 3e-3, "trainable": 0},
    "partial": {"epochs": 6, "learning_rate": 3e-3, "trainable": 0.75},
    "full": {"epochs": 1, "learning_rate": 1e-4, "trainable": 1},
}


def lesionflow(*arguments: str | Path, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=280,
        **options,
    )


@dataclass
class Site:
    """A user's folder with data and a recipe in it."""

    folder: Path
    data: Path | str
    """A folder, or the address of a bucket's prefix."""
    recipe: Path

    def arguments(self, output: Path, *more: str | Path) -> list[str | Path]:
        return [
            "run", "--data", self.data, "--recipe", self.recipe, "--weights", "none", "--output", output, *more
        ]  # fmt: skip

    def run(self, output: Path, *more: str | Path) -> subprocess.CompletedProcess[str]:
        return lesionflow(*self.arguments(output, *more), cwd=self.folder)

    def start(self, output: Path, *more: str | Path, stdout: Any = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [COMMAND, *map(str, self.arguments(output, *more))],
            cwd=self.folder,
            stdout=stdout,
            # A background job of a shell without job control ignores SIGINT; the run must not inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )


def summary_of(output: Path) -> dict[str, Any]:
    return json.loads((output / "summary.json").read_text())


def progress(output: Path, step: str) -> list[dict[str, Any]]:
    """Events of the batches that a step has done in the newest run."""
    newest = max(output.glob("runs/*"), default=None)
    for file in newest.glob("progress/*.jsonl") if newest else ():
        events = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
        if events and events[0].get("step") == step:
            return [event for event in events if event["event"] == "progress"]
    return []


def wait_for_epoch(output: Path, step: str, epoch: int) -> None:
    """Until the step has finished that epoch."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        for file in output.glob("runs/*/progress/*.jsonl"):
            events = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
            done = [event["epoch"] for event in events if event["event"] == "epoch"]
            if events and events[0].get("step") == step and max(done, default=0) >= epoch:
                return
        time.sleep(0.05)
    raise AssertionError(f"{step} never finished epoch {epoch}")


def alive_tasks(output: Path) -> list[int]:
    """Processes of fine-tune tasks that work in this output."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        is_task = os.fsencode(output) in command and b"executor_main" in command
        is_shell = b"-c" in command.split(b"\0")[:2]
        if is_task and not is_shell and state != "Z":
            found.append(int(entry.name))
    return found
