"""`summary.json`: what a run came to, for machines."""

from typing import ClassVar, Literal

from pydantic import Field

from lesionflow.artifacts.evaluation import Fold, SplitData, Spread, TestedData
from lesionflow.artifacts.training_record import SharedTraining, TrainingRecord
from lesionflow.metrics.classification import Metrics
from lesionflow.runtime.document import Document, Part
from lesionflow.verdict import Verdict, Word

SUMMARY = "summary.json"
"""Its name in the folder of a run."""


class StepSummary(Part):
    """One step of a run."""

    seconds: float | None
    """Its own work; None if it is not known."""
    status: str
    headline: str
    """What matters of it, in a few words."""


class Summary(Document):
    """What a run came to. Without an evaluation the verdict is `failed` and there are no metrics."""

    what: ClassVar[str] = "a summary of a run"
    written_by: ClassVar[str] = "run"

    format: Literal[1] = 1
    verdict: Word
    status: Literal["passed", "refused", "failed", "interrupted"]
    error: str = ""
    """Why it is neither passed nor refused; a sentence, or empty."""
    gate: Verdict | None = None
    metrics: Metrics | None = None
    data: SplitData | TestedData | None = None
    training: TrainingRecord | SharedTraining | None = None
    method: str | None = None
    """What the metrics are metrics of; None: of one model on its test set. The next two are likewise of folds only."""
    folds: tuple[Fold, ...] | None = None
    spread: Spread | None = None
    promoted: str | None = None
    """URI of the version that is the champion now."""
    published: str | None = None
    """URI of the version, champion or not."""
    promotion: str = ""
    """Why the champion changed, or stayed."""
    steps: dict[str, StepSummary] = Field(default_factory=dict[str, StepSummary])
    seconds: float | None = None
    """Wall time of the whole run; None if nobody took it."""
    artifacts: dict[str, str]
    versions: dict[str, str] = Field(default_factory=dict[str, str])
    seed: int
