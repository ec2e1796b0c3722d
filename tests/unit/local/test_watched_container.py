"""What is made of a container's end, with a Docker that is played."""

import json
from pathlib import Path
from typing import Any

import pytest

from lesionflow.errors import BAD_INPUT, FAILED
from lesionflow.local.outcome import outcome_of
from lesionflow.local.watched_container import WatchedContainer
from lesionflow.runtime.events import RunEvents, StepState


class _Docker:
    """A client, its collection of containers and its one container, which says this and ends with code 2."""

    def __init__(self, folder: Path, says: list[dict[str, Any]]) -> None:
        self.containers = self
        self.attrs = {"State": {"OOMKilled": False}}
        self._folder, self._says = folder, says

    def run(self, *given: Any, **settings: Any) -> "_Docker":
        (self._folder / "7-a.jsonl").write_text("".join(json.dumps(event) + "\n" for event in self._says))
        return self

    def wait(self) -> dict[str, int]:
        return {"StatusCode": 2}

    def logs(self) -> bytes:
        return b""

    def reload(self) -> None:
        pass

    def remove(self, force: bool) -> None:
        pass


STARTED = {"event": "started", "time": 1.0, "step": "fingerprint", "pid": 7}
FAILURE = {"event": "failed", "time": 2.0, "step": "fingerprint", "kind": "user", "message": "No images."}


@pytest.mark.parametrize(
    ("says", "code", "message"),
    [
        ([STARTED, FAILURE], BAD_INPUT, "No images."),
        ([], FAILED, "The step fingerprint failed: its container ended with exit code 2 and without a word"),
    ],
)
def test_the_end_is_of_the_step_that_ran_though_another_is_first_in_the_list(
    tmp_path: Path, says: list[dict[str, Any]], code: int, message: str
) -> None:
    events = RunEvents(tmp_path, {name: StepState(name) for name in ("preflight", "fingerprint")})
    events.begin("fingerprint")
    client: Any = _Docker(tmp_path, says)

    assert WatchedContainer(events, None)(client, "image", [], {}) == 2

    outcome = outcome_of(events, tmp_path)
    assert (outcome.code, outcome.error) == (code, message)
