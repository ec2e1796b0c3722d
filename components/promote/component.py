"""KFP adapter of the promote step."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Markdown, Model

from lesionflow.runtime.container_image import LEAN_IMAGE


@dsl.component(base_image=LEAN_IMAGE, install_kfp_package=False)
def promote(
    model: Input[Model],
    evaluation: Input[Artifact],
    report: Input[HTML],
    train: Input[Dataset],
    validation: Input[Dataset],
    scores: Input[Dataset],
    model_card: Input[Markdown],
    registry: str,
    replace_champion: str = "better",
) -> str:
    """Publish a model that passed the gate as a new version, and make it the champion if it is better.

    Args:
        model: the fine-tuned model.
        evaluation: the JSON file that evaluate wrote.
        report: the HTML page that evaluate wrote.
        train: the training table of the model, so that a later one is not compared with it on what it was trained on.
        validation: the validation table, likewise.
        scores: the score table that evaluate wrote.
        model_card: the Markdown page that evaluate wrote.
        registry: folder, or gs:// or s3:// prefix, of the published models.
        replace_champion: better (than the champion, by the gate's metric), or always.

    Returns:
        URI of the version.
    """
    from lesionflow.components.promote.promote import promote as run
    from lesionflow.runtime.step import run_step

    return run_step(
        "promote",
        run,
        model=model.path,
        evaluation=evaluation.path,
        report=report.path,
        train=train.path,
        validation=validation.path,
        scores=scores.path,
        model_card=model_card.path,
        registry=registry,
        replace_champion=replace_champion,
    )
