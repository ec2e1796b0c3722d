"""`lesionflow doctor`: what would go wrong on a cluster, before anything is submitted."""

from typing import Annotated

import typer
from rich.console import Console

from lesionflow.cli.cluster_options import Config, Endpoint, KubeContext, Namespace


def doctor(
    profile: Annotated[str, typer.Option(help="gke, generic, cpu-only, or a YAML file.")] = "generic",
    namespace: Namespace = None,
    endpoint: Endpoint = None,
    kube_context: KubeContext = None,
    service_account: Annotated[
        str | None, typer.Option(help="Of the run's pods.", show_default="the profile's")
    ] = None,
    pipeline_root: Annotated[
        str | None,
        typer.Option(help="gs:// or s3:// prefix of the artifacts.", show_default="the namespace's kfp-launcher"),
    ] = None,
    registry: Annotated[str | None, typer.Option(help="gs:// or s3:// prefix of the promoted models.")] = None,
    data: Annotated[str | None, typer.Option(help="gs:// or s3:// prefix of the images to train on.")] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Run a small pipeline there and say what works: minutes, no GPU, no data.")
    ] = False,
    config: Config = None,
) -> None:
    """Check a cluster before submitting to it: every cross with its mend.

    The probe of the pipeline root and of the registry leaves one object of a few bytes there.
    """
    from lesionflow.kubeflow.client.settings import ClusterSettings
    from lesionflow.kubeflow.doctor.checks import checks_for, examine
    from lesionflow.kubeflow.doctor.show import DoctorDisplay
    from lesionflow.kubeflow.doctor.subject import Subject
    from lesionflow.profile import load_profile
    from lesionflow.runtime.container_images import read_pins

    chosen = load_profile(profile)
    subject = Subject(
        settings=ClusterSettings.load(config, endpoint=endpoint, namespace=namespace, kube_context=kube_context),
        profile=chosen,
        service_account=service_account or chosen.service_account,
        pins=read_pins(),
        pipeline_root=pipeline_root,
        registry=registry,
        data=data,
    )
    if deep:
        from lesionflow.kubeflow.doctor.deep import examine_deeply
        from lesionflow.kubeflow.doctor.deep_checks import NAMES

        raise typer.Exit(examine_deeply(subject, DoctorDisplay(Console(), NAMES)))
    checks = checks_for(subject)
    display = DoctorDisplay(Console(), [check.name for check in checks])
    found = examine(checks, subject, display.starting, display.finished)
    raise typer.Exit(display.summary(found.values()))
