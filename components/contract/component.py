"""KFP adapter of the contract step, which `lesionflow doctor --deep` runs; it is in no training."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Output

from lesionflow.runtime.container_image import LEAN_IMAGE


@dsl.component(base_image=LEAN_IMAGE, install_kfp_package=False)
def contract(
    evaluation: Output[Artifact],
    metrics: Output[Metrics],
    nonce: str,
    text: str = "",
    whole: int = 0,
    share: float = 0.0,
    flag: bool = True,
    fail_once: bool = False,
    seconds: int = 0,
    table: Input[Dataset] = None,  # pyright: ignore[reportArgumentType]  (a cluster cannot make Optional)
    measured: Input[Metrics] = None,  # pyright: ignore[reportArgumentType]
    page: Input[HTML] = None,  # pyright: ignore[reportArgumentType]
) -> str:
    """Check what a cluster hands to a step, and that the step reaches the object store; says each check that held.

    Args:
        evaluation: one JSON file, of metrics that the gate must refuse.
        metrics: one metric, `share`.
        nonce: any text that no earlier run was given, so that nothing of theirs is reused.
        text: must arrive as components/contract/contract.py has it; so must the next three.
        whole: likewise.
        share: likewise.
        flag: likewise.
        fail_once: fail the first time, to see whether the cluster tries again.
        seconds: how long to go on writing lines to the log.
        table: the balanced table, with the metadata that balance gave it; may be left out, as may the next two.
        measured: the metrics of an earlier contract step.
        page: a page that balance wrote.

    Returns:
        Where in the object store a small drawn data set lies.
    """
    from lesionflow.components.contract.contract import GIVEN
    from lesionflow.components.contract.contract import contract as run
    from lesionflow.components.contract.handed_over import HandedOver
    from lesionflow.runtime.step import run_step

    given = {
        name: HandedOver(artifact.path, artifact.metadata)
        for name, artifact in (("table", table), ("measured", measured), ("page", page))
        if artifact
    }
    source = run_step(
        "contract",
        run,
        evaluation=evaluation.path,
        metrics=metrics.path,
        folder=evaluation.uri,
        values={"text": text, "whole": whole, "share": share, "flag": flag},
        artifacts=given,
        fail_once=fail_once,
        seconds=seconds,
    )
    metrics.log_metric("share", GIVEN["share"])
    return source
