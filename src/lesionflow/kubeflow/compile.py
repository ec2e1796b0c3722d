"""`lesionflow compile`: the pipeline as a file for a cluster."""

from collections.abc import Mapping
from pathlib import Path

from kfp import compiler
from kfp.compiler.compiler_utils import KubernetesManifestOptions
from kfp.dsl.graph_component import GraphComponent

from lesionflow.kubeflow.slim import slim
from lesionflow.pipelines import cross_validation, training
from lesionflow.pipelines.images import with_images
from lesionflow.profile import ClusterProfile
from lesionflow.runtime.files import file_digest, whole_file


def compile_pipeline(
    output: Path, profile: ClusterProfile, pins: Mapping[str, str], kubernetes_manifest: bool, folds: int | None = None
) -> list[str]:
    """Write the training pipeline, or the cross-validation pipeline, as YAML to `output`, whole or not at all.

    Args:
        output: the file.
        profile: what the tasks ask of the cluster.
        pins: image name -> `repository@sha256:...`, as `images.read_pins` gives it.
        kubernetes_manifest: write `Pipeline` and `PipelineVersion` resources instead of a pipeline spec.
        folds: of the cross-validation, fixed in the file; None for the training pipeline.

    Returns:
        The images in it that are not pinned by digest, without repetition. KFP's cache knows an image
        by its name only (kfp#13862), so with one of these it would reuse what older code made.
    """
    if folds is None:
        pipeline = training.define_training_pipeline(profile)
    else:
        pipeline = cross_validation.define_cross_validation_pipeline(profile, folds)
    return write_package(output, uploaded_as(profile, folds), pipeline, pins, kubernetes_manifest)


def write_package(
    output: Path, name: str, pipeline: GraphComponent, pins: Mapping[str, str], kubernetes_manifest: bool = False
) -> list[str]:
    """Write any pipeline as YAML to `output`, as `compile_pipeline` does with ours.

    Args:
        output: the file.
        name: of the pipeline.
        pipeline: wired.
        pins: as there.
        kubernetes_manifest: as there.

    Returns:
        As there.
    """
    pipeline = with_images(pipeline, pins)
    slim(pipeline)
    compile_to = compiler.Compiler().compile
    with whole_file(output) as temporary:
        package = temporary.with_suffix(".yaml")  # the compiler insists on the ending
        compile_to(pipeline, str(package))
        if kubernetes_manifest:
            # A PipelineVersion cannot be changed, so other content needs another name; the same applies cleanly.
            version = f"{name}-{file_digest(package)[:12]}"
            options = KubernetesManifestOptions(
                pipeline_name=name, pipeline_version_name=version, include_pipeline_manifest=True
            )
            compile_to(pipeline, str(package), kubernetes_manifest_format=True, kubernetes_manifest_options=options)
        package.replace(temporary)
    return sorted({image for image in _images(pipeline) if "@sha256:" not in image})


def uploaded_as(profile: ClusterProfile, folds: int | None = None) -> str:
    """What a pipeline is called on a cluster.

    What is compiled into it (the profile, the number of folds) is in the name: a schedule that follows the latest
    version gets new code, and never the pods of another profile. The name that it has in its own spec is another,
    by which KFP keeps its cache and its artifacts.

    Args:
        profile: of the cluster.
        folds: of a cross-validation; None for the training pipeline.
    """
    kind = training.NAME if folds is None else f"{cross_validation.NAME}-{folds}-folds"
    return f"{kind}-{profile.name}" if profile.name else kind


def _images(pipeline: GraphComponent) -> list[str]:
    executors = pipeline.pipeline_spec.deployment_spec["executors"].values()
    return [executor["container"]["image"] for executor in executors if "container" in executor]
