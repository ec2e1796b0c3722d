"""Workers do not outlive the step that started them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PARENT = """
import sys, time
from lesionflow.data.source import Entry
from lesionflow.components.ingest import convert

def slow(root, stored_size, entry):
    open(f"{root}/{__import__('os').getpid()}.pid", "w").close()
    time.sleep(300)

convert._convert_entry = slow
convert.cpu_count = lambda: 3
list(convert.convert_all(sys.argv[1], [Entry("x.jpg", "", 1, None)] * 100, 256))
"""


def test_workers_end_when_the_step_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)])
    try:
        deadline = time.monotonic() + 30
        while len(workers := [int(path.stem) for path in tmp_path.glob("*.pid")]) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(workers) == 3
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]
