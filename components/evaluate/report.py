"""The report of an evaluation: one self-contained page, readable in two minutes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from components.common.metrics import AVERAGES, format_figure
from components.common.page import load_template, render_page
from components.common.pictures import class_bars
from components.common.taxonomy import DIAGNOSES, LABEL_INDEX, LABELS
from components.evaluate.curves import draw_roc, draw_training
from components.evaluate.examples import pick_examples

_FIGURES = {"precision": "precision", "recall": "recall", "f1": "F1"}


def render_report(
    evaluation: Mapping[str, Any],
    card: Mapping[str, Any],
    train: pd.DataFrame,
    scores: pd.DataFrame,
    history: pd.DataFrame,
    images: str | Path,
) -> str:
    """Write the page that shows what an evaluation found.

    Args:
        evaluation: the content of the evaluation file; every figure on the page comes from it.
        card: the data card of the images.
        train: the balanced training table.
        scores: the score table, one row per test image.
        history: the model's history.csv.
        images: folder of the images artifact, for the examples.

    Returns:
        A complete HTML document.
    """
    metrics = evaluation["metrics"]
    probabilities = scores[[f"p_{label}" for label in LABELS]].to_numpy(np.float64)
    truth = scores["dx"].map(LABEL_INDEX).to_numpy(np.int64)
    aucs = {label: entry["auc"] for label, entry in metrics["per_class"].items()}
    right, wrong = pick_examples(scores, images)
    loss, macro_f1 = draw_training(history)
    synthetic = evaluation["data"]["synthetic"]
    context = {
        "evaluation": evaluation,
        "card": card,
        "averages": AVERAGES,
        "diagnoses": DIAGNOSES,
        "training": _flat(evaluation["training"]),
        "bars": Markup(
            class_bars(
                {
                    name: {label: _number(entry[key]) for label, entry in metrics["per_class"].items()}
                    for key, name in _FIGURES.items()
                },
                "Precision, recall and F1 of each class on the test set",
            )
        ),
        "roc": Markup(draw_roc(truth, probabilities, aucs)),
        "loss": Markup(loss),
        "macro_f1": Markup(macro_f1),
        "balance": Markup(_draw_balance(train)),
        "right": right,
        "wrong": wrong,
        "errors": int((scores["dx"] != scores["predicted"].fillna("")).sum()),
        "unrecognised": [label for label, entry in metrics["per_class"].items() if entry["recall"] == 0],
    }
    template = load_template(Path(__file__).with_name("report.html.j2"), figure=format_figure)
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    title = f"lesionflow: {evaluation['verdict']}" + (" (synthetic data)" if synthetic else "")
    return render_page(title, template.render(context), style)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _draw_balance(train: pd.DataFrame) -> str:
    """How often an epoch meets each class: before balancing once per image, after it as weighted or drawn."""
    before = train["dx"].value_counts()
    after = (train["weight"] * train["draws"]).groupby(train["dx"]).sum()
    return class_bars(
        {
            "before": {label: float(before.get(label, 0)) for label in LABELS},
            "after": {label: float(round(after.get(label, 0))) for label in LABELS},
        },
        "Training images of each class, before and after balancing",
        "images per epoch",
    )


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
