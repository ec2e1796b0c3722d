"""KFP adapter of the promote step."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Model

from components.common.container_image import CPU_IMAGE


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def promote(
    model: Input[Model], evaluation: Input[Artifact], report: Input[HTML], registry: str, gate_verdict: str = ""
) -> str:
    """Publish a model that passed the gate as a new version, then make it the champion.

    Args:
        model: the fine-tuned model.
        evaluation: the JSON file that evaluate wrote.
        report: the HTML page that evaluate wrote.
        registry: folder or gs:// prefix of the published models.
        gate_verdict: the gate's answer; makes this step wait for it.

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
    )
