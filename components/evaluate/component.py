"""KFP adapter of the evaluate step."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Markdown, Metrics, Model, Output

from lesionflow.runtime.container_image import CPU_IMAGE


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
    model_card: Output[Markdown],
    policy: str = "default",
    seed: int = 0,
    registry: str = "",
    champion: str = "",
):
    """Measure the model on the separate test set and judge it.

    Args:
        images: the images that ingest wrote.
        train: the balanced training table.
        validation: the validation table.
        test: the test table.
        model: the fine-tuned model.
        evaluation: one JSON file with the verdict, every metric and where they come from.
        metrics: the headline metrics.
        classification: the confusion matrix, and the ROC curve of melanoma, if it is a class, against the rest.
        report: a self-contained HTML page.
        scores: one row per test image with its probabilities.
        model_card: the same metrics as a model card, with the metadata that model hubs read.
        policy: what the gate judges by: default (macro-F1 of at least 0.70), or a policy as JSON.
        seed: of the bootstrap intervals.
        registry: folder, or gs:// or s3:// prefix, with the champion; only read if the policy compares with it.
        champion: the version in use, as preflight found it; empty if there is none.
    """
    from lesionflow.components.evaluate.evaluate import evaluate as run
    from lesionflow.runtime.step import run_step

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
        model_card=model_card.path,
        policy=policy,
        seed=seed,
        registry=registry,
        champion=champion,
    )
    for name, value in result.headline.items():
        metrics.log_metric(name, value)
    classification.log_confusion_matrix(result.labels, result.confusion_matrix)
    if result.roc:
        classification.log_roc_curve(*result.roc)
    evaluation.metadata.update(result.facts)
    scores.metadata["rows"] = result.rows
