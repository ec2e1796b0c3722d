"""KFP adapter of the promote step."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Model

from components.common.container_image import LEAN_IMAGE


@dsl.component(base_image=LEAN_IMAGE, install_kfp_package=False)
def promote(
    model: Input[Model],
    evaluation: Input[Artifact],
    report: Input[HTML],
    registry: str,
    gate_verdict: str = "",
    replace_champion: str = "better",
) -> str:
    """Publish a model that passed the gate as a new version, and make it the champion if it is better.

    Args:
        model: the fine-tuned model.
        evaluation: the JSON file that evaluate wrote.
        report: the HTML page that evaluate wrote.
        registry: folder, or gs:// or s3:// prefix, of the published models.
        gate_verdict: the gate's answer; makes this step wait for it.
        replace_champion: better (than the champion, by the gate's metric), or always.

    Returns:
        URI of the version.
    """
    from components.common.step import run_step
    from components.promote.promote import promote as run

    return run_step(
        "promote",
        run,
        model=model.path,
        evaluation=evaluation.path,
        report=report.path,
        registry=registry,
        gate_verdict=gate_verdict,
        replace_champion=replace_champion,
    )
