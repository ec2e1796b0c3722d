"""Small pipelines for the tests of containers, and a command that runs the silent one.

usage: probe.py OUTPUT HEARTBEAT [saving]      run one silent, endless task, or one that saves when told to end
"""

import sys
from pathlib import Path

from kfp import dsl
from kfp.dsl import Dataset, Output

from lesionflow.local.containers import ContainerBackend
from lesionflow.local.runner import Interrupted, LocalRun, run_pipeline
from lesionflow.local.workspace import Workspace
from lesionflow.runtime.container_image import LEAN_IMAGE
from lesionflow.runtime.events import RunEvents


@dsl.component(base_image=LEAN_IMAGE, install_kfp_package=False)
def look_around(found: Output[Dataset]):
    import json
    import os
    from pathlib import Path

    from lesionflow.runtime.step import run_step

    def look() -> None:
        status = Path("/proc/self/status").read_text()
        writable = []
        for folder in ("/", "/etc", "/opt/lesionflow", "/usr", "/tmp", os.environ["HOME"]):
            try:
                Path(folder, "probe").write_text("x")
                writable.append(folder)
            except OSError:
                pass
        answer = {
            "uid": os.getuid(),
            "writable": writable,
            "capabilities": [line.split()[1] for line in status.splitlines() if line.startswith("CapEff")],
            "credentials": os.access(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "/none"), os.R_OK),
            "weights": [path.read_text() for path in Path("/opt/weights").glob("*.h5")],
            "shm": os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize,
        }
        Path(found.path).write_text(json.dumps(answer))

    run_step("look-around", look)


@dsl.component(base_image=LEAN_IMAGE, install_kfp_package=False)
def silent(heartbeat: str) -> str:
    import subprocess
    import time
    from pathlib import Path

    from lesionflow.runtime.step import run_step

    def beat() -> str:
        # A child too: a step's own worker processes must not outlive the run either.
        subprocess.Popen(["sh", "-c", f"while true; do date +%s%N > {heartbeat}.child; sleep 0.05; done"])
        while True:
            Path(heartbeat).write_text(str(time.time_ns()))
            time.sleep(0.05)

    return run_step("silent", beat)


@dsl.component(base_image=LEAN_IMAGE, install_kfp_package=False)
def saving(heartbeat: str) -> str:
    import time
    from pathlib import Path

    from lesionflow.errors import Preempted
    from lesionflow.runtime.step import run_step
    from lesionflow.training.preemption import termination_noted

    def train() -> str:
        with termination_noted() as asked_to_stop:
            while not asked_to_stop():
                Path(heartbeat).write_text(str(time.time_ns()))
                time.sleep(0.05)
            time.sleep(1)  # saving takes a moment
            Path(f"{heartbeat}.saved").touch()
            raise Preempted("Stopped by SIGTERM.")

    return run_step("saving", train)


@dsl.component(base_image=LEAN_IMAGE, install_kfp_package=False)
def forgetful(data: Output[Dataset]):
    from lesionflow.runtime.step import run_step

    run_step("forgetful", print)


@dsl.pipeline(name="look-around")
def look_around_pipeline():
    look_around()


@dsl.pipeline(name="silent")
def silent_pipeline(heartbeat: str):
    silent(heartbeat=heartbeat)


@dsl.pipeline(name="saving")
def saving_pipeline(heartbeat: str):
    saving(heartbeat=heartbeat)


@dsl.pipeline(name="forgetful")
def forgetful_pipeline():
    forgetful()


def run_in_container(
    pipeline, output: Path, step: str, backend: ContainerBackend | None = None, **arguments: str
) -> RunEvents:
    """Run a pipeline of one task."""
    workspace = Workspace(output)
    with workspace.locked() as lock:
        return run_pipeline(
            LocalRun(pipeline, arguments, {step: step}),
            workspace,
            workspace.new_run(),
            lock,
            lambda events: None,
            backend or ContainerBackend(),
        )


if __name__ == "__main__":
    try:
        chosen = (saving_pipeline, "saving") if "saving" in sys.argv else (silent_pipeline, "silent")
        run_in_container(chosen[0], Path(sys.argv[1]), chosen[1], heartbeat=sys.argv[2])
    except Interrupted as interrupt:
        sys.exit(128 + interrupt.signal)
