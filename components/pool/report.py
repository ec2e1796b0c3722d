"""The report of a cross-validation: one self-contained page."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from lesionflow.artifacts.evaluation import CrossValidation, Fold
from lesionflow.artifacts.tables import probability_columns
from lesionflow.metrics.classification import AVERAGES, Metrics
from lesionflow.reporting.curves import draw_roc
from lesionflow.reporting.examples import format_sure, pick_examples
from lesionflow.reporting.page import load_template, render_page
from lesionflow.reporting.pictures import PALETTE, new_figure, to_svg
from lesionflow.reporting.report import STYLE
from lesionflow.runtime.metric_text import format_metric


def render_report(
    evaluation: CrossValidation, card: Mapping[str, Any], scores: pd.DataFrame, images: str | Path
) -> str:
    """Write the page that shows what a cross-validation found.

    Args:
        evaluation: what the page is of; every metric on it comes from there.
        card: the data card of the images.
        scores: the pooled score table, one row per image.
        images: folder of the images artifact, for the examples.

    Returns:
        A complete HTML document.
    """
    metrics, taxonomy = evaluation.metrics, evaluation.taxonomy
    probabilities = scores[[*probability_columns(taxonomy.codes)]].to_numpy(np.float64)
    truth = scores["dx"].map(taxonomy.index).to_numpy(np.int64)
    aucs = {label: entry.auc.value for label, entry in metrics.per_class.items()}
    examples = pick_examples(scores, images, taxonomy)
    context = {
        "evaluation": evaluation,
        "card": card,
        "averages": AVERAGES,
        "commonest": max(metrics.per_class, key=lambda code: metrics.per_class[code].support),
        "diagnoses": taxonomy.names,
        "picture": Markup(draw_folds(evaluation.folds, metrics)),
        "roc": Markup(draw_roc(truth, probabilities, aucs, taxonomy)),
        "right": examples.right,
        "wrong": examples.wrong,
        "errors": int((scores["dx"] != scores["predicted"].fillna("")).sum()),
    }
    template = load_template(Path(__file__).with_name("report.html.j2"), metric=format_metric, sure=format_sure)
    style = STYLE.read_text(encoding="utf-8")
    synthetic = " (synthetic data)" if evaluation.data.synthetic else ""
    title = f"lesionflow cross-validation: {evaluation.verdict}{synthetic}"
    return render_page(title, template.render(context), style)


def draw_folds(folds: Sequence[Fold], pooled: Metrics) -> str:
    """The F1 of each class and its macro-average: a dot per fold, a bar for all folds together.

    Args:
        folds: the folds.
        pooled: the metrics of all images together.

    Returns:
        One `<svg>` element.
    """
    figure, axes = new_figure()
    names = ["macro-F1", *pooled.per_class]
    together = [pooled.macro_f1.value, *(entry.f1.value for entry in pooled.per_class.values())]
    axes.bar(range(len(names)), [_number(value) for value in together], 0.7, color=PALETTE[4], label="all folds pooled")
    for place, fold in enumerate(folds):
        shift = 0.5 * ((place + 0.5) / len(folds) - 0.5)
        values = [_number(fold.macro_f1.value), *(_number(fold.f1[label]) for label in pooled.per_class)]
        axes.plot(
            [index + shift for index in range(len(names))],
            values,
            linestyle="",
            marker="o",
            markersize=4,
            color=PALETTE[0],
            label="one fold each" if place == 0 else None,
        )
    axes.set_xticks(range(len(names)), names)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("F1")
    axes.set_ylim(0, 1)
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return to_svg(figure, "F1 of each class in each fold, and of all folds pooled")


def _number(value: float | None) -> float:
    return math.nan if value is None else value
