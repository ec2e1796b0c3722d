"""What is changed for a whole process is what was meant, and is put back."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lesionflow.compat.process import environment, errors_into, files_open_to_group


def _run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout


def test_what_native_code_writes_goes_to_the_log_too(tmp_path: Path):
    log = tmp_path / "step.log"
    shown = _run(
        "import os, pathlib\n"
        "from lesionflow.compat.process import write_output_to\n"
        "print('before', flush=True)\n"
        f"write_output_to(pathlib.Path({str(log)!r}))\n"
        "os.write(1, b'native\\n'); os.write(2, b'error\\n'); print('python', flush=True)\n"
    )
    assert shown == "before\n"
    assert log.read_text() == "native\nerror\npython\n"


def test_errors_go_to_a_file_and_come_back(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    with (tmp_path / "hidden").open("wb") as file, errors_into(file):
        os.write(2, b"hidden\n")
    os.write(2, b"shown\n")
    assert (tmp_path / "hidden").read_bytes() == b"hidden\n"
    assert capfd.readouterr().err == "shown\n"


def test_the_environment_is_put_back(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LESIONFLOW_KEPT", "before")
    monkeypatch.delenv("LESIONFLOW_NEW", raising=False)
    within: list[str | None] = []

    def fail() -> None:
        with environment({"LESIONFLOW_KEPT": "within", "LESIONFLOW_NEW": "1"}):
            within.extend(map(os.environ.get, ("LESIONFLOW_KEPT", "LESIONFLOW_NEW")))
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fail()
    assert within == ["within", "1"]
    assert os.environ["LESIONFLOW_KEPT"] == "before"
    assert "LESIONFLOW_NEW" not in os.environ


@pytest.mark.parametrize(("wanted", "mode"), [(True, 0o660), (False, 0o600)])
def test_new_files_are_open_to_their_group_if_wanted_and_only_within(tmp_path: Path, wanted: bool, mode: int):
    before = os.umask(0o077)
    try:
        with files_open_to_group(wanted):
            (tmp_path / "within").touch()
        (tmp_path / "after").touch()
    finally:
        os.umask(before)
    assert (tmp_path / "within").stat().st_mode & 0o777 == mode
    assert (tmp_path / "after").stat().st_mode & 0o777 == 0o600


def test_google_is_looked_for_once_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch):
    program = "import os\nfrom lesionflow.compat.process import look_for_googles_machines_once as once\nonce()\n"
    program += "from google.auth.compute_engine import _metadata\nprint(_metadata._METADATA_DETECT_RETRIES)"
    monkeypatch.delenv("GCE_METADATA_DETECT_RETRIES", raising=False)
    assert _run(program) == "1\n", "google-auth no longer reads GCE_METADATA_DETECT_RETRIES: see compat/process.py."
    monkeypatch.setenv("GCE_METADATA_DETECT_RETRIES", "5")
    assert _run(program) == "5\n"


def test_garbage_is_collected_rarely_and_not_at_the_end():
    program = "import gc\nfrom lesionflow.compat import process\nprocess.collect_garbage_rarely()\n"
    program += "process.skip_last_collection()\nprocess.keep_freed_memory()\n"
    program += "print(gc.get_threshold()[0], gc.get_freeze_count() > 0)"
    assert _run(program).split() == ["100000", "True"]
