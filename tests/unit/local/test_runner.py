"""A local run leaves no orphan behind, however it ends."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lesionflow.errors import UserError
from lesionflow.local.workspace import Workspace


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def silent_run(tmp_path: Path):
    yield from _silent_run(tmp_path)


@pytest.fixture
def deaf_run(tmp_path: Path):
    yield from _silent_run(tmp_path, "deaf")


def _silent_run(tmp_path: Path, *how: str):
    heartbeat = tmp_path / "heartbeat"
    script = Path(__file__).with_name("silent_run.py")
    process = subprocess.Popen([sys.executable, str(script), str(tmp_path / "out"), str(heartbeat), *how])
    child = Path(f"{heartbeat}.child")
    assert _wait(lambda: heartbeat.exists() and child.exists(), 60), "the task never started"
    yield process, heartbeat, child
    process.kill()
    process.wait()


def _stops(file: Path) -> bool:
    """Whether a heartbeat ceases: two looks, half a second apart, see the same."""

    def still() -> bool:
        before = file.read_text()
        time.sleep(0.5)
        return file.read_text() == before

    return _wait(still, 10)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_task_and_no_child_of_a_task_outlives_its_run(silent_run, number):
    process, heartbeat, child = silent_run

    process.send_signal(number)  # to the parent alone

    code = process.wait(timeout=20)
    assert code == (-number if number == signal.SIGKILL else 128 + number)
    assert _stops(heartbeat)
    assert _stops(child)


def test_an_interrupted_run_returns_only_when_its_task_is_gone(silent_run):
    process, heartbeat, _ = silent_run

    process.send_signal(signal.SIGTERM)

    process.wait(timeout=20)
    before = heartbeat.read_text()
    time.sleep(0.3)
    assert heartbeat.read_text() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_task_may_take_its_time_to_save_until_a_second_signal(deaf_run, number):
    process, heartbeat, child = deaf_run

    process.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=2)
    before = heartbeat.read_text()
    assert _wait(lambda: heartbeat.read_text() != before, 10)
    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=20) == 128 + number
    assert _stops(heartbeat)
    assert _stops(child)


def test_a_task_that_saves_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("SAVING", "1")
    runs = _silent_run(tmp_path, "deaf")
    process, heartbeat, child = next(runs)

    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=20) == 128 + signal.SIGTERM
    assert _stops(heartbeat)
    assert _stops(child)
    runs.close()


def test_a_second_run_on_the_same_output_is_refused_while_the_first_lives(silent_run, tmp_path):
    workspace = Workspace(tmp_path / "out")

    with pytest.raises(UserError, match="Another run is working in"), workspace.locked():
        pass


def test_the_output_is_free_again_right_after_a_killed_run(silent_run, tmp_path):
    process, _, _ = silent_run

    process.kill()
    process.wait()

    with Workspace(tmp_path / "out").locked():
        pass
