"""What a step says last, left where Kubernetes looks for it.

KFP's launcher ends with code 1 however the step ended, and keeps its reason to the log. A container's termination
message reaches the pod's status, from there Argo's account of the run, and so whoever follows the run.
"""

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

POD_VARIABLE = "KFP_POD_NAME"
"""KFP sets it in the pods of its steps, and nowhere else."""
FILE = Path("/dev/termination-log")
MOST = 1000
"""Characters. The kubelet takes 4,096 bytes, and Argo keeps them twice in a record that must stay small."""

Kind = Literal["refused", "user", "preempted", "crash"]
"""Kinds of an end: the gate refused the model, bad input, told to end and saved, anything else."""


class LastWords(BaseModel):
    """Why a step ended before its end."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: str
    """The name shown to users."""
    kind: Kind
    sentence: str
    exit_status: int
    """Exit status of the step's own process."""

    @classmethod
    def found_in(cls, message: str) -> Self | None:
        """Those in a message of Argo's, which puts the container and its code before them; None if there are none."""
        _, brace, rest = message.partition('{"step":')
        try:
            return cls.model_validate_json(brace + rest) if brace else None
        except ValidationError:  # cut off, or of somebody else
            return None

    def text(self) -> str:
        """JSON on one line."""
        return self.model_dump_json()


def leave_last_words(step: str, kind: Kind, sentence: str, exit_status: int) -> None:
    """Leave the reason of a step's end as `LastWords`; nothing outside a pod of KFP's.

    Args:
        step: the name shown to users.
        kind: of the end.
        sentence: what it says of its end.
        exit_status: with which its process is about to exit.
    """
    if not os.environ.get(POD_VARIABLE) or not FILE.is_file():
        return
    line = " ".join(sentence.split())
    shortened = line if len(line) <= MOST else f"{line[: MOST - 1]}…"
    words = LastWords(step=step, kind=kind, sentence=shortened, exit_status=exit_status)
    try:
        FILE.write_text(words.text(), encoding="utf-8")
    except OSError as error:  # the log still says it, and the exit status is what counts
        print(f"{step}: no termination message was left: {error}")
