"""The evaluation, as evaluate writes it of a model and pool of a cross-validation, and the verdict in it."""

import json
from pathlib import Path
from typing import ClassVar, Literal, Self

from lesionflow.artifacts.training_record import SharedTraining, TrainingRecord
from lesionflow.errors import UserError
from lesionflow.metrics.bootstrap import Metric
from lesionflow.metrics.champion import ChampionComparison
from lesionflow.metrics.classification import Metrics
from lesionflow.metrics.selective_prediction import Abstention
from lesionflow.metrics.statistics import CalibrationOfModel, OperatingPoints, Subgroups
from lesionflow.runtime.document import Document, Part
from lesionflow.runtime.provenance import Provenance
from lesionflow.taxonomy import Taxonomy
from lesionflow.verdict import Evidence, Verdict, Word, judge


class TestedData(Part):
    """The images that the metrics are of."""

    __test__ = False  # it is no test of pytest's

    source: str | None
    """Where ingest took them from."""
    synthetic: bool
    """Made by a program: the metrics say nothing about skin."""
    fingerprint: str | None
    test_set: str
    """Digest of the image ids: metrics compare only on the same images."""
    counts: dict[str, dict[str, int]]
    """Table -> label -> images."""
    lesions: dict[str, int]
    """Table -> lesions."""


class SplitData(TestedData):
    """The same of a model's three tables, train, validation and test."""

    quarantined: dict[str, int]
    """Why ingest left something out -> how many entries."""
    balanced: dict[str, int]
    """Label -> how often an epoch of the training meets it."""
    tables: dict[str, str]
    """Table -> its digest."""


class Strongest(Part):
    """The place of an image that speaks most for the answer."""

    place: str
    """In words: a ninth of the image, as in "top left"."""
    covered: float
    """The probability of the answer with that place covered."""


class ExampleFacts(Part):
    """A test image that the report shows."""

    image_id: str
    dx: str
    predicted: str
    probability: float
    """That the model gave to what it predicted."""
    strongest: Strongest | None = None
    """None if no single place decides, or nobody looked."""


class ExamplesShown(Part):
    """The test images that the report shows."""

    right: tuple[ExampleFacts, ...]
    """The most confident right answer of each class."""
    wrong: tuple[ExampleFacts, ...]
    """The most confident wrong answers of all, the worst first."""


class Fold(Part):
    """One model of a cross-validation, on the images that it never saw."""

    fold: int
    """From 1."""
    images: int
    lesions: int
    macro_f1: Metric
    f1: dict[str, float | None]
    """By label."""


class Spread(Part):
    """Of the folds' macro-F1."""

    mean: float
    standard_deviation: float
    lowest: float
    highest: float


class AnyEvaluation(Document):
    """What every evaluation has. Loading it judges its metrics once more: a verdict is never taken on trust."""

    what: ClassVar[str] = "an evaluation"
    written_by: ClassVar[str] = "evaluate"

    format: Literal[1] = 1
    verdict: Word
    gate: Verdict
    taxonomy: Taxonomy
    metrics: Metrics
    provenance: Provenance
    seed: int
    """Of the bootstrap."""
    artifacts: dict[str, str]
    """What belongs to it -> where it lay when this was written."""

    @property
    def evidence(self) -> Evidence:
        """What the verdict rests on."""
        return Evidence(taxonomy=self.taxonomy, metrics=self.metrics)

    def check(self, where: str) -> Verdict:
        """Judge the metrics by the policy once more, and compare.

        Raises:
            UserError: the verdict does not follow from the metrics.
        """
        verdict = judge(self.evidence, self.gate.policy)
        if self.verdict != verdict.word or self.gate != verdict:
            raise UserError(
                f"{where} contradicts itself: it says {self.verdict!r} with value {self.gate.value!r}, but its own "
                f"metrics give {verdict.word!r} with {verdict.value!r}, or its clauses differ; run evaluate again."
            )
        return verdict

    @classmethod
    def parse(cls, content: bytes, where: str) -> Self:
        """Understand and verify what was read, its verdict too; see `Document.parse` and `check`."""
        evaluation = super().parse(content, where)
        evaluation.check(where)
        return evaluation


class Evaluation(AnyEvaluation):
    """A model on its separate test set."""

    kind: Literal["model"] = "model"
    calibration: CalibrationOfModel
    operating_points: OperatingPoints
    abstention: Abstention
    subgroups: Subgroups
    champion: ChampionComparison | None
    """None if the policy does not ask."""
    resamples: int
    """Of the bootstrap."""
    examples: ExamplesShown
    data: SplitData
    training: TrainingRecord
    model_sha256: str

    @property
    def evidence(self) -> Evidence:
        """What the verdict rests on."""
        return Evidence(
            taxonomy=self.taxonomy,
            metrics=self.metrics,
            calibration=self.calibration,
            operating_points=self.operating_points,
            subgroups=self.subgroups,
            champion=self.champion,
        )


class CrossValidation(AnyEvaluation):
    """A method, by the predictions of several models, each on lesions it never saw."""

    written_by: ClassVar[str] = "pool"

    kind: Literal["cross-validation"] = "cross-validation"
    method: str
    """What its metrics are metrics of, in words."""
    folds: tuple[Fold, ...]
    spread: Spread | None
    """None if a fold has no macro-F1."""
    data: TestedData
    training: SharedTraining


def read_evaluation(path: str | Path) -> Evaluation | CrossValidation:
    """Read and verify an evaluation of either kind.

    Raises:
        UserError: the file is none, or its verdict does not follow from its metrics.
    """
    try:
        kind = json.loads(Path(path).read_bytes())["kind"]
    except (OSError, ValueError, KeyError, TypeError):
        kind = None  # `load` says what is wrong
    return CrossValidation.load(path) if kind == "cross-validation" else Evaluation.load(path)
