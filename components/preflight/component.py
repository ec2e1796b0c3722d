"""KFP adapter of the preflight step."""

from kfp import dsl

from lesionflow.runtime.container_image import LEAN_IMAGE


@dsl.component(base_image=LEAN_IMAGE, install_kfp_package=False)
def preflight(registry: str, policy: str = "default") -> str:
    """Try the model registry before any work is done, and look up its champion if the policy compares with it.

    Args:
        registry: folder, gs:// or s3:// prefix that will receive the model.
        policy: what the gate judges by: default, or a policy as JSON.

    Returns:
        The version in use, if the policy compares with it; empty if not, or if there is none yet.
    """
    from lesionflow.components.preflight.preflight import preflight as run
    from lesionflow.runtime.step import run_step

    return run_step("preflight", run, registry=registry, policy=policy)
