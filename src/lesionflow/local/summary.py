"""`summary.json`, the machine's view of a run, and the table that ends it, a person's."""

import importlib.metadata
import math
import os
import shutil
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lesionflow.artifacts.evaluation import CrossValidation, Fold, read_evaluation
from lesionflow.artifacts.summary import SUMMARY, StepSummary, Summary
from lesionflow.metrics.classification import AVERAGES, Metrics
from lesionflow.runtime.events import RunEvents
from lesionflow.runtime.metric_text import format_metric
from lesionflow.storage import Address
from lesionflow.verdict import Verdict

VERSIONS_OF = ("lesionflow", "kfp", "keras", "numpy", "scikit-learn")
BACKENDS = ("tensorflow-cpu", "tensorflow", "jax")
"""Packages of which one or more are installed: the extras cpu, gpu and jax."""

HEADLINE = ("macro_f1", "balanced_accuracy", "accuracy", "macro_auc")


def write_summary(
    run: Path,
    events: RunEvents,
    status: Literal["passed", "refused", "failed", "interrupted"],
    error: str,
    seconds: float,
    seed: int,
) -> Summary:
    """Write `summary.json` into the run's folder, with the report and the model, if there is one, beside it.

    Args:
        run: the run's folder.
        events: what its steps said.
        status: how the run ended.
        error: why it is neither passed nor refused; a sentence, or empty.
        seconds: wall time of the whole run.
        seed: the run's seed.

    Returns:
        What was written.

    Raises:
        UserError: the evaluation that the gate judged by is gone or damaged.
    """
    evaluation = read_evaluation(events.evaluation) if events.evaluation else None
    folds = evaluation if isinstance(evaluation, CrossValidation) else None
    if evaluation:
        _link(Path(evaluation.artifacts["report"]), run / "report.html")
        if model := evaluation.artifacts.get("model"):
            _link(Path(model), run / "model")
    summary = Summary(
        verdict="passed" if status == "passed" else "failed",
        status=status,
        error=error,
        gate=evaluation and evaluation.gate,
        metrics=evaluation and evaluation.metrics,
        data=evaluation and evaluation.data,
        training=evaluation and evaluation.training,
        method=folds and folds.method,
        folds=folds and folds.folds,
        spread=folds and folds.spread,
        promoted=events.version,
        published=events.version or events.published,
        promotion=events.reason,
        steps={
            state.name: StepSummary(
                seconds=round(state.seconds, 3) if math.isfinite(state.seconds) else None,
                status=state.status,
                headline=state.headline,
            )
            for state in events.steps.values()
        },
        seconds=round(seconds, 3),
        artifacts=evaluation.artifacts if evaluation else {},
        versions=_versions(),
        seed=seed,
    )
    summary.write(run / SUMMARY)
    return summary


def _link(source: Path, target: Path) -> None:
    """Show an artifact in the run's folder without a second copy on disk, where the file system allows."""
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_hard_link)
    else:
        _hard_link(str(source), str(target))


def _hard_link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def _versions() -> dict[str, str]:
    backends = [name for name in BACKENDS if any(importlib.metadata.distributions(name=name))]
    return {name: importlib.metadata.version(name) for name in (*VERSIONS_OF, *backends)}


def print_summary(console: Console, summary: Summary, run: Path) -> None:
    """The end of a run: metrics, verdict, where the report lies."""
    console.print()
    if summary.metrics:
        _print_metrics(console, summary, summary.metrics)
    if summary.folds:
        _print_folds(console, summary, summary.folds)
    if summary.gate and summary.status in ("passed", "refused"):
        _print_verdict(console, summary, summary.gate)
    if summary.published and not summary.promoted:
        console.print(f"The champion stays: {summary.promotion}", highlight=False, markup=False)
    for heading, path in (
        ("Promoted" if summary.promoted else "Published", summary.published),
        ("Report", run / "report.html"),
        ("Summary", run / SUMMARY),
    ):
        if path and ((place := Address.parse(path)).is_remote or place.local.exists()):
            console.print(f"{heading + ':':<10} {path}", highlight=False, soft_wrap=True)


def _print_metrics(console: Console, summary: Summary, metrics: Metrics) -> None:
    table = Table(box=None, padding=(0, 2), header_style="bold")
    for heading in ("class", "precision", "recall", "F1", "test images"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for label, row in metrics.per_class.items():
        values = [format_metric(metric.value) for metric in (row.precision, row.recall, row.f1)]
        table.add_row(label, *values, str(row.support))
    console.print(table)
    low, high = map(format_metric, metrics.macro_f1.interval)
    macro_f1, *others = [f"{AVERAGES[name]} {format_metric(metrics.averages[name].value)}" for name in HEADLINE]
    console.print(
        f"\n{macro_f1} (95 % interval {low} to {high}), {', '.join(others)}; "
        f"{summary.method or 'test lesions never seen in training'}, seed {summary.seed}",
        highlight=False,
    )


def _print_verdict(console: Console, summary: Summary, gate: Verdict) -> None:
    colour = "green" if summary.verdict == "passed" else "red"
    synthetic = summary.data and summary.data.synthetic
    kind = " [yellow](synthetic data: says nothing about skin)[/]" if synthetic else ""
    console.print(
        f"[bold {colour}]Verdict: {summary.verdict}[/]{kind}  "
        f"{gate.metric} {format_metric(gate.value)}, threshold {gate.threshold:g}",
        highlight=False,
    )
    for clause in gate.clauses if len(gate.clauses) > 1 else ():
        mark = "[green]✓[/]" if clause.held else "[red]✗[/]"
        console.print(f"  {mark} {escape(clause.text)}", highlight=False)
    for reason in gate.reasons:
        console.print(f"  {reason}", highlight=False, markup=False)


def _print_folds(console: Console, summary: Summary, folds: tuple[Fold, ...]) -> None:
    of_folds = ", ".join(format_metric(fold.macro_f1.value) for fold in folds)
    spread = summary.spread
    of_all = f"; mean {spread.mean:.3f}, standard deviation {spread.standard_deviation:.3f}" if spread else ""
    console.print(f"macro-F1 of each fold: {of_folds}{of_all}", highlight=False)
    console.print("Nothing is promoted: this judges the method, there is no one model.", highlight=False)
