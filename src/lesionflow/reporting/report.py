"""The report of an evaluation: one self-contained page, readable in two minutes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from lesionflow.artifacts.evaluation import Evaluation
from lesionflow.artifacts.tables import probability_columns
from lesionflow.metrics.classification import AVERAGES
from lesionflow.metrics.statistics import MALIGNANT_POINT
from lesionflow.metrics.subgroups import LEAST_LESIONS
from lesionflow.reporting.curves import draw_reliability, draw_risk, draw_roc, draw_training
from lesionflow.reporting.examples import ReportExamples, format_sure
from lesionflow.reporting.page import load_template, render_page
from lesionflow.reporting.placed import FORMS, Placed
from lesionflow.reporting.sections import render_sections
from lesionflow.runtime.document import Part

STYLE = Path(__file__).with_name("report.css")
"""What reports look like, besides what all pages share."""


@dataclass
class ReportPictures:
    """What a section can draw; nothing is drawn that no section asks for."""

    evaluation: Evaluation
    scores: pd.DataFrame
    """The score table, one row per test image."""
    history: pd.DataFrame

    def roc(self) -> Markup:
        """All classes' ROC curves."""
        taxonomy = self.evaluation.taxonomy
        probabilities = self.scores[[*probability_columns(taxonomy.codes)]].to_numpy(np.float64)
        truth = self.scores["dx"].map(taxonomy.index).to_numpy(np.int64)
        aucs = {label: entry.auc.value for label, entry in self.evaluation.metrics.per_class.items()}
        return Markup(draw_roc(truth, probabilities, aucs, taxonomy))

    def reliability(self) -> Markup:
        """How often the model was right against how sure it was."""
        before, after = self.evaluation.calibration.before, self.evaluation.calibration.after
        return Markup(draw_reliability(before.reliability, after and after.reliability) if before else "")

    def risk(self) -> Markup:
        """The error rate of what the model keeps, against the share that it keeps."""
        return Markup(draw_risk(self.evaluation.abstention))

    def loss(self) -> Markup:
        """The loss over the epochs."""
        return Markup(self._training[0])

    def macro_f1(self) -> Markup:
        """The validation macro-F1 over the epochs."""
        return Markup(self._training[1])

    @cached_property
    def _training(self) -> tuple[str, str]:
        return draw_training(self.history)


def render_report(
    evaluation: Evaluation,
    card: Mapping[str, Any],
    scores: pd.DataFrame,
    history: pd.DataFrame,
    examples: ReportExamples,
) -> str:
    """Write the page that shows what an evaluation found.

    Args:
        evaluation: what the page is of; every metric on it comes from there.
        card: the data card of the images.
        scores: the score table, one row per test image, for the ROC curves.
        history: the model's history.csv.
        examples: images to show.

    Returns:
        A complete HTML document.
    """
    data = evaluation.data
    context: dict[str, Any] = {
        "evaluation": evaluation,
        "shown": Placed(evaluation),
        "pictures": ReportPictures(evaluation, scores, history),
        "card": card,
        "averages": AVERAGES,
        "diagnoses": evaluation.taxonomy.names,
        "taxonomy": evaluation.taxonomy,
        "training": _flat(evaluation.training),
        "most": max(1, *data.counts["train"].values(), *data.balanced.values()),
        "examples": examples,
        "errors": int((scores["dx"] != scores["predicted"].fillna("")).sum()),
        "unrecognised": [label for label, entry in evaluation.metrics.per_class.items() if entry.recall.value == 0],
        "least_lesions": LEAST_LESIONS,
        "malignant_point": f"{MALIGNANT_POINT[0]} {MALIGNANT_POINT[1]:.0%}".replace("%", " %"),
    }
    context["sections"] = render_sections(context, sure=format_sure)
    template = load_template(Path(__file__).with_name("report.html.j2"), **FORMS, sure=format_sure)
    title = f"lesionflow: {evaluation.verdict}" + (" (synthetic data)" if data.synthetic else "")
    return render_page(title, template.render(context), STYLE.read_text(encoding="utf-8"))


def _flat(training: Part) -> dict[str, str]:
    """Nested settings as one list of dotted names."""

    def lines(value: Mapping[str, Any], prefix: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for key, item in value.items():
            if isinstance(item, Mapping):
                found |= lines(item, f"{prefix}{key}.")
            else:
                name = f"{prefix}{key}".replace("_", " ")
                found[name] = ", ".join(map(str, item)) if isinstance(item, list) else str(item)
        return found

    return lines(training.model_dump(mode="json", exclude={"format"}), "")
