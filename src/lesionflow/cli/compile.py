"""`lesionflow compile`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lesionflow.cli.options.cluster import Profile


def compile_(
    output: Annotated[Path, typer.Option("-o", "--output", help="YAML file to write.")] = Path(
        "lesionflow-pipeline.yaml"
    ),
    kubernetes_manifest: Annotated[
        bool, typer.Option("--kubernetes-manifest", help="As Pipeline and PipelineVersion resources.")
    ] = False,
    profile: Profile = "generic",
    folds: Annotated[
        int | None,
        typer.Option(help="The cross-validation pipeline, with so many folds.", show_default="the training pipeline"),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Digests of the images.", show_default="images/digests.json, of 'make images'")
    ] = None,
) -> None:
    """Compile the pipeline for a Kubeflow cluster."""
    from lesionflow.kubeflow.compile import compile_pipeline
    from lesionflow.pipelines.cross_validation import check_folds
    from lesionflow.profile import load_profile
    from lesionflow.runtime.container_images import read_pins
    from lesionflow.runtime.files import check_output

    if folds is not None:
        check_folds(folds)
    check_output(output)
    unpinned = compile_pipeline(output, load_profile(profile), read_pins(images), kubernetes_manifest, folds)
    console = Console()
    console.print(f"Compiled to {output}", highlight=False, soft_wrap=True)
    if unpinned:
        console.print(
            f"Not pinned by digest: {', '.join(unpinned)}; build and push this code with 'make images REPOSITORY=...'.",
            style="yellow",
            highlight=False,
            soft_wrap=True,
        )
