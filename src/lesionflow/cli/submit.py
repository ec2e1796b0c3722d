"""`lesionflow submit`."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from lesionflow.cli.console import print_line
from lesionflow.cli.options.cluster import PipelineRoot, Profile, ServiceAccount, on_cluster
from lesionflow.cli.options.training import (
    BucketCheckpoints,
    BucketData,
    BucketFixedTest,
    BucketPairs,
    BucketRegistry,
    ClusterRecipe,
    ClusterWeights,
    Folds,
    LeakGuard,
    Metric,
    MinF1,
    PolicyFile,
    Seed,
    TaxonomyFile,
)

if TYPE_CHECKING:
    from lesionflow.kubeflow.client.settings import ClusterSettings
    from lesionflow.kubeflow.submission import Submission


@on_cluster(experiment=True)
def submit(
    settings: "ClusterSettings",
    data: BucketData,
    registry: BucketRegistry = None,
    checkpoints: BucketCheckpoints = "",
    recipe: ClusterRecipe = "published",
    weights: ClusterWeights = "imagenet",
    min_f1: MinF1 = None,
    metric: Metric = None,
    policy: PolicyFile = None,
    taxonomy: TaxonomyFile = "ham10000",
    seed: Seed = 0,
    duplicate_pairs: BucketPairs = "",
    leak_guard: LeakGuard = True,
    fixed_test: BucketFixedTest = "",
    folds: Folds = None,
    profile: Profile = "generic",
    run_name: Annotated[str | None, typer.Option(help="Of the run; must be new.", show_default="run-TIME")] = None,
    service_account: ServiceAccount = None,
    pipeline_root: PipelineRoot = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run; exit as a local run would.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent; change nothing.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say why nothing is known of waiting pods.")] = False,
) -> None:
    """Run the pipeline on a Kubeflow cluster."""
    from lesionflow.kubeflow.submission import prepare_submission
    from lesionflow.kubeflow.values import checked_parameters
    from lesionflow.policy import choose_policy
    from lesionflow.profile import load_profile
    from lesionflow.taxonomy import load_taxonomy

    values: dict[str, Any] = {
        "source": data,
        "checkpoints": checkpoints,
        "weights": weights,
        "duplicate_pairs": duplicate_pairs,
        "leak_guard": leak_guard,
        "seed": seed,
    }
    gate = choose_policy(policy, metric, min_f1, folds)
    parameters = checked_parameters(values, recipe, gate, load_taxonomy(taxonomy), folds, registry, fixed_test)
    submission = prepare_submission(
        load_profile(profile), parameters, settings.experiment, run_name, service_account, pipeline_root, folds
    )
    console = Console(file=sys.stdout)
    if dry_run:
        from lesionflow.kubeflow.submission_display import show_plan

        show_plan(console, settings, submission)
        return
    _start(settings, submission, console, wait, verbose, folds)


def _start(
    settings: "ClusterSettings",
    submission: "Submission",
    console: Console,
    wait: bool,
    verbose: bool,
    folds: int | None,
) -> None:
    """Send a run and say where it is; with `wait`, follow it and exit as a local run would."""
    from lesionflow.kubeflow.client.connection import connect, run_url
    from lesionflow.kubeflow.runs.follow import follow
    from lesionflow.kubeflow.runs.stop import offer_to_stop
    from lesionflow.kubeflow.send import send
    from lesionflow.kubeflow.submission import check_pinned
    from lesionflow.preflight.starting_weights import check_baked
    from lesionflow.runtime.container_image import WEIGHTS_FOLDER

    check_pinned(submission)
    if (weights := submission.parameters["weights"]).startswith(WEIGHTS_FOLDER):
        check_baked(weights)  # the images are those of the present code, or they would not be pinned
    client = connect(settings)
    run: Any = send(client, submission)
    print_line(console, f"Run:  {submission.run_name}, {run.run_id}")
    if url := run_url(settings, run.run_id):
        print_line(console, f"See:  {url}")
    if not wait:
        print_line(console, f"Next: lesionflow status {run.run_id}")
        return
    try:
        registry = submission.parameters.get("registry", "")
        raise typer.Exit(follow(client, settings, run.run_id, console, verbose, folds, registry))
    except KeyboardInterrupt:
        offer_to_stop(client, run.run_id, console)
        raise typer.Exit(130) from None
