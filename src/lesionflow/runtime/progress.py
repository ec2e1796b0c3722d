"""What a step tells whoever watches it: JSON lines in a file, one file per task.

A file works for subprocesses, containers and parallel loops alike. Without the folder named by
`LESIONFLOW_PROGRESS` in the environment (a notebook, a pod), reporting does nothing.
"""

import json
import os
import secrets
import time
from functools import cache
from pathlib import Path
from typing import Any

from lesionflow.runtime.files import finite

FOLDER_VARIABLE = "LESIONFLOW_PROGRESS"


def report(event: str, **fields: Any) -> None:
    """Append one event to this task's progress file.

    Args:
        event: `started`, `progress`, `epoch`, `headline`, `finished` or `failed`.
        **fields: JSON-serialisable details; NaN becomes null. By convention `done` and `total`
            (counts) for `progress`; `text` (a short phrase worth showing) for `headline`.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return
    line = json.dumps(finite({"event": event, "time": time.time(), **fields}), allow_nan=False)
    with Path(folder, _file_name(os.getpid())).open("a", encoding="utf-8") as file:
        file.write(line + "\n")


@cache
def _file_name(pid: int) -> str:
    """One per process; the process id alone is the same in many containers."""
    return f"{pid}-{secrets.token_hex(4)}.jsonl"
