"""KFP adapter of the evaluate step."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from components.common.container_image import CPU_IMAGE


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def evaluate(
    images: Input[Dataset],
    train: Input[Dataset],
    validation: Input[Dataset],
    test: Input[Dataset],
    model: Input[Model],
    evaluation: Output[Artifact],
    metrics: Output[Metrics],
    classification: Output[ClassificationMetrics],
    report: Output[HTML],
    scores: Output[Dataset],
    gate_metric: str = "macro_f1",
    threshold: float = 0.7,
    seed: int = 0,
):
    """Measure the model on the separate test set and judge it.

    Args:
        images: the images that ingest wrote.
        train: the balanced training table.
        validation: the validation table.
        test: the test table.
        model: the fine-tuned model.
        evaluation: one JSON file with the verdict, every figure and where they come from.
        metrics: the headline figures.
        classification: the confusion matrix, and the ROC curve of melanoma against the rest.
        report: a self-contained HTML page.
        scores: one row per test image with its probabilities.
        gate_metric: what the gate judges by: macro_f1, weighted_f1, balanced_accuracy, accuracy or macro_auc.
        threshold: the least value of that metric that passes, above 0 and not above 1.
        seed: of the bootstrap intervals.
    """
    from components.common.step import run_step
    from components.evaluate.evaluate import evaluate as run

    result = run_step(
        "evaluate",
        run,
        images=images.path,
        train=train.path,
        validation=validation.path,
        test=test.path,
        model=model.path,
        evaluation=evaluation.path,
        metrics=metrics.path,
        classification=classification.path,
        report=report.path,
        scores=scores.path,
        gate_metric=gate_metric,
        threshold=threshold,
        seed=seed,
    )
    for name, value in result.headline.items():
        metrics.log_metric(name, value)
    classification.log_confusion_matrix(result.labels, result.confusion_matrix)
    if result.roc:
        classification.log_roc_curve(*result.roc)
    evaluation.metadata.update(result.facts)
    scores.metadata["rows"] = result.rows
