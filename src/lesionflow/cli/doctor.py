"""`lesionflow doctor`: what would go wrong on a cluster, before anything is submitted."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from lesionflow.cli.options.cluster import PipelineRoot, Profile, ServiceAccount, on_cluster

if TYPE_CHECKING:
    from lesionflow.kubeflow.client.settings import ClusterSettings


@on_cluster()
def doctor(
    settings: "ClusterSettings",
    profile: Profile = "generic",
    service_account: ServiceAccount = None,
    pipeline_root: PipelineRoot = None,
    registry: Annotated[str | None, typer.Option(help="gs:// or s3:// prefix of the promoted models.")] = None,
    data: Annotated[str | None, typer.Option(help="gs:// or s3:// prefix of the images to train on.")] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Run a small pipeline there and say what works: minutes, no GPU, no data.")
    ] = False,
) -> None:
    """Check a cluster before submitting to it: every cross with its fix.

    The probe of the pipeline root and of the registry leaves one object of a few bytes there.
    """
    from lesionflow.kubeflow.doctor.checks import checks_for, examine
    from lesionflow.kubeflow.doctor.show import DoctorDisplay
    from lesionflow.kubeflow.doctor.subject import Subject
    from lesionflow.profile import load_profile
    from lesionflow.runtime.container_images import read_pins

    chosen = load_profile(profile)
    subject = Subject(
        settings=settings,
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
