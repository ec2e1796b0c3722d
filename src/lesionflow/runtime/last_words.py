"""What a step says last, left where Kubernetes looks for it.

KFP's launcher ends with code 1 however the step ended, and keeps its reason to the log. A container's termination
message reaches the pod's status, from there Argo's account of the run, and so whoever follows the run.
"""

import os
from pathlib import Path

POD_VARIABLE = "KFP_POD_NAME"
"""KFP sets it in the pods of its steps, and nowhere else."""
FILE = Path("/dev/termination-log")
MOST = 1000
"""Characters. The kubelet takes 4,096 bytes, and Argo keeps them twice in a record that must stay small."""


def leave_last_words(step: str, sentence: str, status: int) -> None:
    """Leave the reason of a step's end, as `STEP: SENTENCE (exit status STATUS)`; nothing outside a pod of KFP's.

    Args:
        step: the name shown to users.
        sentence: what it says of its end.
        status: with which its process is about to exit.
    """
    if not os.environ.get(POD_VARIABLE) or not FILE.is_file():
        return
    line = " ".join(sentence.split())
    shortened = line if len(line) <= MOST else f"{line[: MOST - 1]}…"
    try:
        FILE.write_text(f"{step}: {shortened} (exit status {status})", encoding="utf-8")
    except OSError as error:  # the log still says it, and the exit status is what counts
        print(f"{step}: no termination message was left: {error}")
