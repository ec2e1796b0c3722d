"""The pipeline's steps with their recorded executor input, chained as a run chains them."""

from dataclasses import dataclass
from typing import Any

from every_adapter import adapter
from launcher import Launcher, Ran
from recordings import in_present_words, recorded

RECORDED = (
    "fingerprint", "ingest", "duplicates", "split", "balance", "finetune", "finetune-2", "finetune-3", "evaluate",
    "gate", "export", "promote",
)  # fmt: skip
"""Tasks with recorded executor input, in the order in which they run."""


@dataclass(frozen=True)
class Chain:
    """The steps that ran, up to the first that failed, and a launcher for more."""

    launcher: Launcher
    ran: dict[str, Ran]

    def given(self, task: str) -> dict[str, Any]:
        """The task's recorded executor input, with the artifacts that the steps before it wrote here."""
        return self.launcher.successor(executor_input(task))

    def run(self, task: str) -> Ran:
        """Run a task on its recorded input, and remember how it ended."""
        self.ran[task] = self.launcher.run(adapter(task.split("-")[0]), self.given(task))
        return self.ran[task]


def executor_input(task: str) -> dict[str, Any]:
    """As recorded but for the backbone: EfficientNet would make these tests take minutes and show nothing more."""
    given: dict[str, Any] = in_present_words(recorded(f"executor-input/{task}.json"))
    values = given["inputs"].get("parameterValues", {})
    if "recipe" in values:
        values["recipe"] = values["recipe"].replace('"efficientnetv2b0"', '"tiny"')
    return given
