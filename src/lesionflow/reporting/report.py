"""The report of an evaluation: one self-contained page, readable in two minutes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from lesionflow.artifacts.tables import probability_columns
from lesionflow.metrics.classification import AVERAGES
from lesionflow.metrics.statistics import MALIGNANT_POINT
from lesionflow.metrics.subgroups import LEAST_LESIONS
from lesionflow.reporting.curves import draw_reliability, draw_risk, draw_roc, draw_training
from lesionflow.reporting.examples import Examples, format_sure
from lesionflow.reporting.figures import Figures
from lesionflow.reporting.page import load_template, render_page
from lesionflow.taxonomy import Taxonomy, check_taxonomy

STYLE = Path(__file__).with_name("report.css")
"""What reports look like, besides what all pages share."""


def render_report(
    evaluation: Mapping[str, Any],
    card: Mapping[str, Any],
    scores: pd.DataFrame,
    history: pd.DataFrame,
    examples: Examples,
) -> str:
    """Write the page that shows what an evaluation found.

    Args:
        evaluation: the content of the evaluation file; every metric on the page comes from it.
        card: the data card of the images.
        scores: the score table, one row per test image, for the ROC curves.
        history: the model's history.csv.
        examples: images to show.

    Returns:
        A complete HTML document.
    """
    metrics, data = evaluation["metrics"], evaluation["data"]
    taxonomy = check_taxonomy(evaluation["taxonomy"], "the evaluation")
    calibration, abstention = evaluation["calibration"], evaluation["abstention"]
    loss, macro_f1 = draw_training(history)
    context = {
        "evaluation": evaluation,
        "figures": Figures(evaluation),
        "card": card,
        "averages": AVERAGES,
        "diagnoses": taxonomy.names,
        "taxonomy": taxonomy,
        "training": _flat(evaluation["training"]),
        "roc": Markup(_draw_roc(scores, metrics, taxonomy)),
        "reliability": Markup(_draw_reliability(calibration)),
        "risk": Markup(draw_risk(abstention) if abstention.get("curve") else ""),
        "loss": Markup(loss),
        "macro_f1": Markup(macro_f1),
        "most": max(1, *data["counts"]["train"].values(), *data["balanced"].values()),
        "examples": examples,
        "errors": int((scores["dx"] != scores["predicted"].fillna("")).sum()),
        "unrecognised": [label for label, entry in metrics["per_class"].items() if entry["recall"] == 0],
        "least_lesions": LEAST_LESIONS,
        "malignant_point": f"{MALIGNANT_POINT[0]} {MALIGNANT_POINT[1]:.0%}".replace("%", " %"),
    }
    template = load_template(Path(__file__).with_name("report.html.j2"), sure=format_sure)
    title = f"lesionflow: {evaluation['verdict']}" + (" (synthetic data)" if data["synthetic"] else "")
    return render_page(title, template.render(context), STYLE.read_text(encoding="utf-8"))


def _draw_roc(scores: pd.DataFrame, metrics: Mapping[str, Any], taxonomy: Taxonomy) -> str:
    probabilities = scores[[*probability_columns(taxonomy.codes)]].to_numpy(np.float64)
    truth = scores["dx"].map(taxonomy.index).to_numpy(np.int64)
    aucs = {label: entry["auc"] for label, entry in metrics["per_class"].items()}
    return draw_roc(truth, probabilities, aucs, taxonomy)


def _draw_reliability(calibration: Mapping[str, Any]) -> str:
    before, after = calibration["before"], calibration["after"]
    return draw_reliability(before["reliability"], after and after["reliability"]) if before else ""


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as one list of dotted names."""
    lines: dict[str, str] = {}
    for key, item in value.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(item, Mapping):
            lines |= _flat(item, f"{prefix}{key}.")
        else:
            lines[name] = ", ".join(map(str, item)) if isinstance(item, list) else str(item)
    return lines
