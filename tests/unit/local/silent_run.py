"""A run of one silent, endless task, started by test_runner_local.py in a process of its own."""

import os
import sys
from pathlib import Path

from kfp import dsl

from lesionflow.local import processes
from lesionflow.local.processes import ProcessBackend
from lesionflow.local.runner import Interrupted, LocalRun, run_pipeline
from lesionflow.local.workspace import Workspace


@dsl.component(base_image="python", install_kfp_package=False)
def silent(heartbeat: str, deaf: bool):
    import signal
    import subprocess
    import time
    from pathlib import Path

    from lesionflow.runtime.step import run_step

    def beat() -> None:
        if deaf:  # as a step is that saves for ever
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        # A child too: a step's own worker processes must not outlive the run either.
        subprocess.Popen(["sh", "-c", f"while true; do date +%s%N > {heartbeat}.child; sleep 0.05; done"])
        while True:
            Path(heartbeat).write_text(str(time.time_ns()))
            time.sleep(0.05)

    run_step("silent", beat)


@dsl.pipeline(name="silent-pipeline")
def silent_pipeline(heartbeat: str, deaf: bool):
    silent(heartbeat=heartbeat, deaf=deaf)


if __name__ == "__main__":
    processes.SAVING = float(os.environ.get("SAVING", processes.SAVING))
    workspace = Workspace(Path(sys.argv[1]))
    with workspace.locked() as lock:
        try:
            run_pipeline(
                LocalRun(silent_pipeline, {"heartbeat": sys.argv[2], "deaf": "deaf" in sys.argv}, {"silent": "silent"}),
                workspace,
                workspace.new_run(),
                lock,
                lambda events: None,
                ProcessBackend(),
            )
        except Interrupted as interrupt:
            sys.exit(128 + interrupt.signal)
