"""One task's container, watched to its end."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import docker
from docker import errors
from docker.models.containers import Container

from lesionflow.runtime.events import RunEvents


class WatchedContainer:
    """Runs one container to its end.

    It is removed only after it was looked at, and what it should have written is looked for, whatever it says.
    """

    def __init__(self, events: RunEvents, memory: str | None) -> None:
        self._events = events
        self._memory = memory

    def __call__(
        self, client: docker.DockerClient, image: str, command: list[str], volumes: dict[str, Any], **settings: Any
    ) -> int:
        """As of `RunContainer`; returns the exit code."""
        step = self._events.current
        try:
            container = client.containers.run(image, command, detach=True, volumes=volumes, **settings)
        except errors.APIError as error:
            self._events.died(step, f"its container could not be started: {error.explanation}")
            return 125
        try:
            code = int(container.wait()["StatusCode"])
            print(container.logs().decode(errors="replace"))
            container.reload()
            out_of_memory = bool(container.attrs["State"]["OOMKilled"])
        except errors.APIError as error:
            self._events.died(step, f"its container was removed while it ran: {error.explanation}")
            return 125
        remove_container(container)  # not after an interrupt, when it may have something to save
        if out_of_memory:
            limit = f"its limit of {self._memory}" if self._memory else "this machine has"
            self._events.died(
                step,
                f"it was killed because it needed more memory than {limit}; "
                "raise --memory, or use a recipe with smaller images or batches",
            )
            return code or 137
        if code:
            self._note_silent_end(step, f"its container ended with exit code {code} and without a word")
        elif missing := _missing_outputs(command):
            code = 1
            self._events.died(step, f"it reported success but did not write {', '.join(missing)}")
        return code

    def _note_silent_end(self, step: str, reason: str) -> None:
        self._events.update()
        if self._events.steps[step].status not in ("failed", "stopped"):
            self._events.died(step, reason)


def remove_container(container: Container) -> None:
    """Remove a container, running or not; one that is gone is no error."""
    try:
        container.remove(force=True)
    except errors.APIError as error:
        if error.status_code not in (404, 409):  # it is gone, or somebody else is removing it
            raise


def _missing_outputs(command: Sequence[str]) -> list[str]:
    """Which of the outputs that a task was told to write are not there."""
    outputs = json.loads(command[command.index("--executor_input") + 1]).get("outputs", {})
    said = Path(outputs["outputFile"])
    values = json.loads(said.read_text()).get("parameterValues", {}) if said.exists() else {}
    missing = [
        name
        for name, place in outputs.get("parameters", {}).items()
        if name not in values and not Path(place["outputFile"]).exists()  # of an OutputPath, in a file of its own
    ]
    for artifacts in outputs.get("artifacts", {}).values():
        missing += [artifact["uri"] for artifact in artifacts["artifacts"] if not Path(artifact["uri"]).exists()]
    return missing
