"""KFP adapter of the gate step."""

from kfp import dsl
from kfp.dsl import Artifact, Input

from lesionflow.runtime.container_image import LEAN_IMAGE


@dsl.component(base_image=LEAN_IMAGE, install_kfp_package=False)
def gate(evaluation: Input[Artifact]) -> str:
    """Let the run go on only if the model passed; otherwise fail, with the reasons in the log.

    Args:
        evaluation: the JSON file that evaluate wrote.

    Returns:
        The word "passed".
    """
    from lesionflow.components.gate.gate import gate as run
    from lesionflow.runtime.step import run_step

    return run_step("gate", run, evaluation=evaluation.path)
