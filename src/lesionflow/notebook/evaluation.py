"""The evaluation of a model on held-out images, and the verdict of any policy on it."""

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from lesionflow.artifacts.evaluation import Evaluation
from lesionflow.artifacts.summary import SUMMARY, Summary
from lesionflow.components.evaluate.evaluate import evaluate as run_evaluate
from lesionflow.errors import UserError
from lesionflow.notebook.markup import Page, shown_path, table
from lesionflow.notebook.metrics import Metrics, metrics_of
from lesionflow.notebook.models import Model
from lesionflow.notebook.storing import stored
from lesionflow.notebook.subsets import Subset
from lesionflow.policy import Policy as GatePolicy
from lesionflow.policy import load_policy
from lesionflow.verdict import Verdict, judge


@dataclass(frozen=True)
class Evaluated:
    """What was measured of a model."""

    folder: Path
    """evaluation.json, report.html, scores.parquet, model_card.md."""

    @cached_property
    def document(self) -> Evaluation:
        """All of it, as the step writes it."""
        return Evaluation.load(self.folder / "evaluation.json")

    @cached_property
    def metrics(self) -> Metrics:
        """With their intervals over lesions."""
        return metrics_of(self.document.metrics)

    @property
    def scores(self) -> pd.DataFrame:
        """A row per image: image_id, lesion_id, dx, predicted, and p_<class>, the probability of each class."""
        return pd.read_parquet(self.folder / "scores.parquet")

    def report(self, path: str | Path = "") -> Page:
        """The report, one page without scripts or network; a notebook shows it.

        Args:
            path: where to write a copy; empty for none.
        """
        page = self.folder / "report.html"
        if path:
            page = Path(shutil.copyfile(page, path))
        return Page(page)

    def __repr__(self) -> str:
        return f"Evaluated({self.metrics!r}, folder={shown_path(self.folder)!r})"

    def _repr_html_(self) -> str:
        return self.metrics._repr_html_()  # pyright: ignore[reportPrivateUsage]  (the name that Jupyter asks for)


@dataclass(frozen=True)
class Judgement:
    """A policy's verdict."""

    verdict: Verdict

    @property
    def passed(self) -> bool:
        """Whether every clause holds and the metrics can be trusted."""
        return self.verdict.passed

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return " ".join((self.verdict.word, *self.verdict.reasons))

    def _repr_html_(self) -> str:
        rows = [("✓" if clause.held else "✗", clause.text) for clause in self.verdict.clauses]
        return table(("", "clause"), rows, repr(self))


class Policy(GatePolicy):
    """What a model must reach: clauses, all of which must hold."""

    def judge(self, evaluation: Evaluated) -> Judgement:
        """Judge what was measured, whatever policy it was evaluated by."""
        return Judgement(judge(evaluation.document.evidence, self))


def evaluate(model: Model, test: Subset, *, policy: GatePolicy | str = "default", seed: int = 0) -> Evaluated:
    """Measure a model on images that it has not seen: metrics with intervals, calibration, subgroups, a report.

    Args:
        model: what `finetune` returned.
        test: the test subset of the split that it was trained on.
        policy: what the report's verdict judges by; `default` asks for a macro-F1 of 0.70.
        seed: of the bootstrap.

    Raises:
        UserError: the model was read, or trained on another split: it may know these images.
    """
    split = model.split
    if split is None or model.balanced is None or split.folder != test.split.folder:
        raise UserError(
            f"{model!r} was not trained on the split of {test!r}, so it may know these images; evaluate the model that "
            "finetune returned for this split, or give `measure` the predictions of images that you know to be new."
        )
    if test.name == "train":
        raise UserError("A model is not evaluated on the images that it was trained on; pass the test subset.")
    asked = load_policy(policy) if isinstance(policy, str) else policy
    inputs = {"model": model.path.parent.name, "test": test.name, "policy": asked.text(), "seed": seed}
    balanced = model.balanced

    def write(into: Path) -> None:
        run_evaluate(
            split.images.path,
            balanced,
            split.validation.path,
            test.path,
            model.path,
            into / "evaluation.json",
            into / "metrics.json",
            into / "classification.json",
            into / "report.html",
            into / "scores.parquet",
            into / "model_card.md",
            policy=asked.text(),
            seed=seed,
        )
        # As in the folder of a run, so that `lesionflow compare` takes this one too.
        found = Evaluation.load(into / "evaluation.json")
        Summary(
            verdict=found.verdict,
            status="passed" if found.gate.passed else "refused",
            gate=found.gate,
            metrics=found.metrics,
            data=found.data,
            training=found.training,
            artifacts=found.artifacts,
            seed=found.seed,
        ).write(into / SUMMARY)

    return Evaluated(stored(split.folder.parent, "evaluate", inputs, write))
