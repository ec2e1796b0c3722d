"""Curves: ROC, reliability, risk and coverage, and the course of training."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lesionflow.metrics.calibration import Bin
from lesionflow.metrics.classification import Indices, Probabilities
from lesionflow.metrics.selective_prediction import Abstention
from lesionflow.reporting.pictures import PALETTE, new_figure, to_svg
from lesionflow.taxonomy import Taxonomy

RocCurve = tuple[list[float], list[float], list[float]]
"""False positive rates, true positive rates, thresholds; all finite."""

_POINTS = 200  # enough for a picture, and little enough for KFP metadata


def roc_curve(labels: Indices, probabilities: Probabilities, index: int) -> RocCurve | None:
    """The ROC curve of one class against the rest.

    Args:
        labels: true class indices, shape (n,).
        probabilities: shape (n, classes).
        index: of the class.

    Returns:
        At most 200 points, or None if the class or the rest has no image, or a score is not finite.
    """
    from sklearn import metrics

    positive = labels == index
    score = probabilities[:, index]
    if positive.all() or not positive.any() or not np.isfinite(probabilities).all():
        return None
    rates = np.stack(metrics.roc_curve(positive, score))  # (3, points)
    kept = np.unique(np.linspace(0, rates.shape[1] - 1, _POINTS).round().astype(int))
    false_positive, true_positive, threshold = rates[:, kept].astype(float)
    # scikit-learn starts at an infinite threshold: "nothing is positive". No probability exceeds 1.
    threshold = np.minimum(threshold, 1.0)
    return false_positive.tolist(), true_positive.tolist(), threshold.tolist()


def draw_roc(
    labels: Indices, probabilities: Probabilities, aucs: Mapping[str, float | None], taxonomy: Taxonomy
) -> str:
    """All classes' ROC curves in one picture.

    Args:
        labels: true class indices, shape (n,).
        probabilities: shape (n, classes).
        aucs: label -> area under its curve, for the legend.
        taxonomy: of the classes.

    Returns:
        One `<svg>` element.
    """
    figure, axes = new_figure(5.0, 4.4)
    axes.plot([0, 1], [0, 1], color=PALETTE[6], linewidth=1, linestyle=":")
    for (label, color), index in zip(taxonomy.colours.items(), taxonomy.index.values(), strict=True):
        curve = roc_curve(labels, probabilities, index)
        if curve:
            axes.plot(curve[0], curve[1], color=color, linewidth=1.8, label=f"{label}  {aucs[label]:.3f}")
    axes.set(xlabel="false positive rate", ylabel="true positive rate (recall)", xlim=(0, 1), ylim=(0, 1.01))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(title="AUC", frameon=False, loc="lower right", fontsize=10)
    return to_svg(figure, "ROC curve of each class against the rest, with the area under it")


def draw_reliability(before: Sequence[Bin], after: Sequence[Bin] | None) -> str:
    """How often the model was right against how sure it was.

    Args:
        before: bins of the probabilities as the model gave them.
        after: bins of the scaled probabilities; None if there is no temperature.

    Returns:
        One `<svg>` element.
    """
    figure, axes = new_figure(5.0, 4.4)
    axes.plot([0, 1], [0, 1], color=PALETTE[6], linewidth=1, linestyle=":", label="as sure as right")
    series = {"as the network says": (before, "s", PALETTE[5])}
    if after:
        series["after temperature scaling"] = (after, "o", PALETTE[0])
    for name, (bins, marker, color) in series.items():
        points = [(entry.confidence, entry.accuracy) for entry in bins]
        axes.plot(*zip(*points, strict=True), marker=marker, markersize=4.5, color=color, linewidth=1.4, label=name)
    axes.set(xlabel="how sure (mean probability of the answer)", ylabel="how often right", xlim=(0, 1), ylim=(0, 1.01))
    axes.legend(frameon=False, loc="upper left", fontsize=10)
    return to_svg(figure, "Reliability diagram: how often the answers are right against how sure the model is of them")


def draw_risk(abstention: Abstention) -> str:
    """The error rate among the images that the model keeps, against the share that it keeps.

    Args:
        abstention: that part of the evaluation.

    Returns:
        One `<svg>` element; nothing if there is no curve.
    """
    curve = abstention.curve
    if curve is None:
        return ""
    figure, axes = new_figure(5.0, 4.0)
    axes.plot(curve.coverage, curve.risk, color=PALETTE[0], linewidth=1.8)
    if abstention.test:
        coverage, risk = abstention.test.coverage.value, abstention.test.risk.value
        if coverage is not None and risk is not None:
            axes.plot([coverage, coverage, 0], [0, risk, risk], color=PALETTE[5], linewidth=1, linestyle=":")
            axes.plot([coverage], [risk], "o", color=PALETTE[5], markersize=8)
            axes.annotate(
                "suggested", (coverage, risk), xytext=(-8, 8), textcoords="offset points", ha="right", fontsize=10
            )
    axes.set(xlabel="share of images it judges itself", ylabel="share of these misjudged", xlim=(0, 1))
    axes.set_ylim(0, max(0.05, *curve.risk) * 1.08)
    return to_svg(figure, "Risk against coverage: the error rate among the images of which the model is most sure")


def draw_training(history: pd.DataFrame) -> tuple[str, str]:
    """The course of training over all fine-tune steps: loss, and validation macro-F1.

    Args:
        history: columns phase, epoch, loss, val_loss, val_macro_f1; rows in the order of training.

    Returns:
        Two `<svg>` elements.
    """
    loss = _over_epochs(
        history, {"training": "loss", "validation": "val_loss"}, "loss", "Loss per epoch over the fine-tune steps"
    )
    macro_f1 = _over_epochs(
        history, {"validation": "val_macro_f1"}, "validation macro-F1", "Validation macro-F1 per epoch"
    )
    return loss, macro_f1


def _over_epochs(history: pd.DataFrame, columns: dict[str, str], axis: str, title: str) -> str:
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(5.0, 3.4)
    epochs = np.arange(1, len(history) + 1)
    for name, column in columns.items():
        color = PALETTE[name == "validation"]
        axes.plot(epochs, history[column].to_numpy(float), color=color, marker="o", markersize=3.5, label=name)
    phases = history["phase"].tolist()
    starts = [i for i, phase in enumerate(phases) if i == 0 or phase != phases[i - 1]]
    for start, end in zip(starts, [*starts[1:], len(phases)], strict=True):
        if start:
            axes.axvline(start + 0.5, color=PALETTE[6], linewidth=1, linestyle=":")
        axes.annotate(
            phases[start], ((start + end + 1) / 2, 1.0), xycoords=("data", "axes fraction"),
            xytext=(0, 3), textcoords="offset points", ha="center", fontsize=10,
        )  # fmt: skip
    axes.set(xlabel="epoch", ylabel=axis, xlim=(0.5, len(history) + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if axis != "loss":
        axes.set_ylim(0, 1)
    if len(columns) > 1:
        axes.legend(frameon=False, fontsize=10)
    return to_svg(figure, title)
