"""`summary.json`, the machine's view of a run, and the table that ends it, a person's."""

import importlib.metadata
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lesionflow.artifacts.summary import SUMMARY
from lesionflow.metrics.classification import format_metric
from lesionflow.runtime.events import RunEvents
from lesionflow.runtime.files import write_json

VERSIONS_OF = ("lesionflow", "kfp", "keras", "numpy", "scikit-learn")
BACKENDS = ("tensorflow-cpu", "tensorflow", "jax")
"""Packages of which one or more are installed: the extras cpu, gpu and jax."""

HEADLINE = ("macro_f1", "balanced_accuracy", "accuracy", "macro_auc")


def write_summary(run: Path, events: RunEvents, status: str, error: str, seconds: float, seed: int) -> dict[str, Any]:
    """Write `summary.json` into the run's folder, with the report and the model, if there is one, beside it.

    Args:
        run: the run's folder.
        events: what its steps said.
        status: passed, refused, failed or interrupted.
        error: why it is neither passed nor refused; a sentence, or empty.
        seconds: wall time of the whole run.
        seed: the run's seed.

    Returns:
        What was written. Without an evaluation the verdict is `failed` and there are no metrics.
    """
    evaluation: dict[str, Any] = {}
    if events.evaluation:
        evaluation = json.loads(Path(events.evaluation).read_text(encoding="utf-8"))
        _link(Path(evaluation["artifacts"]["report"]), run / "report.html")
        if model := evaluation["artifacts"].get("model"):
            _link(Path(model), run / "model")
    summary = {
        "verdict": "passed" if status == "passed" else "failed",
        "status": status,
        "error": error,
        "gate": evaluation.get("gate"),
        "metrics": evaluation.get("metrics"),
        "data": evaluation.get("data"),
        "training": evaluation.get("training"),
        **{name: evaluation[name] for name in ("method", "folds", "spread") if name in evaluation},
        "promoted": events.version,
        "published": events.version or events.published,
        "promotion": events.reason,
        "steps": {
            state.name: {"seconds": round(state.seconds, 3), "status": state.status, "headline": state.headline}
            for state in events.steps.values()
        },
        "seconds": round(seconds, 3),
        "artifacts": evaluation.get("artifacts", {}),
        "versions": _versions(),
        "seed": seed,
    }
    write_json(run / SUMMARY, summary)
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


def print_summary(console: Console, summary: Mapping[str, Any], run: Path) -> None:
    """The end of a run: metrics, verdict, where the report lies."""
    metrics, gate, data = summary["metrics"], summary["gate"], summary["data"]
    console.print()
    if metrics:
        table = Table(box=None, padding=(0, 2), header_style="bold")
        for heading in ("class", "precision", "recall", "F1", "test images"):
            table.add_column(heading, justify="left" if heading == "class" else "right")
        for label, row in metrics["per_class"].items():
            values = [format_metric(row[key]) for key in ("precision", "recall", "f1")]
            table.add_row(label, *values, str(row["support"]))
        console.print(table)
        low, high = map(format_metric, metrics["macro_f1_interval"])
        headline = {name: format_metric(metrics[name]) for name in HEADLINE}
        console.print(
            f"\nmacro-F1 {headline['macro_f1']} (95 % interval {low} to {high}), "
            f"balanced accuracy {headline['balanced_accuracy']}, accuracy {headline['accuracy']}, "
            f"macro AUC {headline['macro_auc']}; {summary.get('method') or 'test lesions never seen in training'}, "
            f"seed {summary['seed']}",
            highlight=False,
        )
    if "folds" in summary:
        _print_folds(console, summary)
    if gate and summary["status"] in ("passed", "refused"):
        passed = summary["status"] == "passed"
        kind = " [yellow](synthetic data: says nothing about skin)[/]" if data and data["synthetic"] else ""
        console.print(
            f"[bold {'green' if passed else 'red'}]Verdict: {'passed' if passed else 'failed'}[/]{kind}  "
            f"{gate['metric']} {format_metric(gate['value'])}, threshold {gate['threshold']:g}",
            highlight=False,
        )
        clauses = gate["clauses"] if len(gate["clauses"]) > 1 else []
        for clause in clauses:
            mark = "[green]✓[/]" if clause["held"] else "[red]✗[/]"
            console.print(f"  {mark} {escape(clause['text'])}", highlight=False)
        for reason in gate["reasons"]:
            console.print(f"  {reason}", highlight=False, markup=False)
    if summary["published"] and not summary["promoted"]:
        console.print(f"The champion stays: {summary['promotion']}", highlight=False, markup=False)
    for heading, path in (
        ("Promoted" if summary["promoted"] else "Published", summary["published"]),
        ("Report", run / "report.html"),
        ("Summary", run / SUMMARY),
    ):
        if path and ("://" in str(path) or Path(path).exists()):
            console.print(f"{heading + ':':<10} {path}", highlight=False, soft_wrap=True)


def _print_folds(console: Console, summary: Mapping[str, Any]) -> None:
    of_folds = ", ".join(format_metric(fold["macro_f1"]) for fold in summary["folds"])
    spread = summary["spread"]
    of_all = f"; mean {spread['mean']:.3f}, standard deviation {spread['standard_deviation']:.3f}" if spread else ""
    console.print(f"macro-F1 of each fold: {of_folds}{of_all}", highlight=False)
    console.print("Nothing is promoted: this judges the method, there is no one model.", highlight=False)
