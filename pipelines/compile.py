"""`lesionflow compile`: the pipeline as a file for a cluster."""

from pathlib import Path

from kfp import compiler
from kfp.compiler.compiler_utils import KubernetesManifestOptions

from components.common.files import whole_file
from pipelines.cluster import PROFILES
from pipelines.training import define_training_pipeline


def compile_pipeline(output: Path, profile: str, kubernetes_manifest: bool) -> None:
    """Write the training pipeline as YAML to `output`, whole or not at all.

    Args:
        output: the file.
        profile: a name in `cluster.PROFILES`.
        kubernetes_manifest: write `Pipeline` and `PipelineVersion` resources instead of a pipeline spec.
    """
    pipeline = define_training_pipeline(PROFILES[profile])
    with whole_file(output) as temporary:
        package = temporary.with_suffix(".yaml")  # the compiler insists on the ending
        options = KubernetesManifestOptions(pipeline_name="lesionflow-training", include_pipeline_manifest=True)
        compiler.Compiler().compile(
            pipeline,
            str(package),
            kubernetes_manifest_format=kubernetes_manifest,
            kubernetes_manifest_options=options if kubernetes_manifest else None,
        )
        package.replace(temporary)
