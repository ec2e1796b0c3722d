"""Enforce the verdict that evaluate reached."""

from pathlib import Path

from lesionflow.artifacts.evaluation import read_evaluation
from lesionflow.errors import GateRefused
from lesionflow.metrics.classification import AVERAGES
from lesionflow.runtime.metric_text import format_metric
from lesionflow.runtime.progress import report


def gate(evaluation: str | Path) -> str:
    """Return "passed", or raise if the evaluated model is not good enough.

    The metrics are judged again: a file whose verdict does not follow from its own metrics is
    damaged and never passes.

    Args:
        evaluation: the file that evaluate wrote.

    Raises:
        GateRefused: the model failed; the message gives the reasons.
        UserError: the file is not an evaluation, or contradicts itself.
    """
    verdict = read_evaluation(evaluation).gate
    text = f"{AVERAGES[verdict.metric]} {format_metric(verdict.value)}, needs {verdict.threshold:g}"
    if len(verdict.clauses) > 1:
        text += f"; {sum(clause.held for clause in verdict.clauses)} of {len(verdict.clauses)} clauses hold"
    if verdict.reasons:
        report("headline", text=f"refused: {text}")
        raise GateRefused(" ".join(verdict.reasons))
    report("headline", text=f"passed: {text}")
    return verdict.word
