"""KFP adapter of the pool step, which ends a cross-validation."""

from typing import List  # noqa: UP035  (kfp reads List only)

from kfp import dsl
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Output

from lesionflow.runtime.container_image import LEAN_IMAGE


@dsl.component(base_image=LEAN_IMAGE, install_kfp_package=False)
def pool(
    images: Input[Dataset],
    scores: Input[List[Dataset]],  # noqa: UP006
    evaluations: Input[List[Artifact]],  # noqa: UP006
    evaluation: Output[Artifact],
    metrics: Output[Metrics],
    classification: Output[ClassificationMetrics],
    report: Output[HTML],
    pooled: Output[Dataset],
    policy: str = "default",
    seed: int = 0,
):
    """Measure a method by the out-of-fold predictions of a cross-validation, and judge it.

    Every image was predicted once, by a model that never saw its lesion. The step checks this and fails otherwise.

    Args:
        images: the images that ingest wrote.
        scores: the score table of each fold, as evaluate wrote it.
        evaluations: the evaluation of each fold.
        evaluation: one JSON file with the verdict, every metric, and where the folds' models and reports are.
        metrics: the headline metrics.
        classification: the confusion matrix, and the ROC curve of melanoma, if it is a class, against the rest.
        report: a self-contained HTML page.
        pooled: one row per image with its fold and its probabilities.
        policy: what the gate judges by: default (macro-F1 of at least 0.70), or a policy as JSON.
        seed: of the bootstrap intervals.
    """
    from lesionflow.components.pool.pool import pool as run
    from lesionflow.runtime.step import run_step

    result = run_step(
        "pool",
        run,
        images=images.path,
        scores=[table.path for table in scores],
        evaluations=[file.path for file in evaluations],
        evaluation=evaluation.path,
        metrics=metrics.path,
        classification=classification.path,
        report=report.path,
        pooled=pooled.path,
        policy=policy,
        seed=seed,
    )
    for name, value in result.headline.items():
        metrics.log_metric(name, value)
    classification.log_confusion_matrix(result.labels, result.confusion_matrix)
    if result.roc:
        classification.log_roc_curve(*result.roc)
    evaluation.metadata.update(result.facts)
    pooled.metadata["rows"] = result.rows
