"""`lesionflow submit`."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from lesionflow.cli.cluster_options import Config, Endpoint, Experiment, KubeContext, Namespace, settings_of
from lesionflow.cli.training_options import Folds, LeakGuard, Metric, MinF1, PolicyFile, Seed

if TYPE_CHECKING:
    from lesionflow.kubeflow.client.settings import ClusterSettings
    from lesionflow.kubeflow.submit import Known, Submission


def submit(
    data: Annotated[str, typer.Option(help="gs:// or s3:// prefix with images and metadata.")],
    registry: Annotated[
        str | None,
        typer.Option(help="gs:// or s3:// prefix for promoted models.", show_default="needed without --folds"),
    ] = None,
    checkpoints: Annotated[
        str, typer.Option(help="gs:// or s3:// prefix for checkpoints: a preempted step goes on where it was.")
    ] = "",
    recipe: Annotated[str, typer.Option(help="best, quick, published, or a YAML or JSON file.")] = "published",
    weights: Annotated[
        str, typer.Option(help="imagenet, none, a gs:// or s3:// file, or one in the image.")
    ] = "imagenet",
    min_f1: MinF1 = None,
    metric: Metric = None,
    policy: PolicyFile = None,
    seed: Seed = 0,
    duplicate_pairs: Annotated[str, typer.Option(help="gs:// or s3:// CSV of pairs that stay on one side.")] = "",
    leak_guard: LeakGuard = True,
    fixed_test: Annotated[str, typer.Option(help="gs:// or s3:// list of the test images.")] = "",
    folds: Folds = None,
    profile: Annotated[str, typer.Option(help="Kind of cluster: gke, generic, cpu-only, or a YAML file.")] = "generic",
    run_name: Annotated[str | None, typer.Option(help="Of the run; must be new.", show_default="run-TIME")] = None,
    service_account: Annotated[str | None, typer.Option(help="Of the pods.", show_default="the profile's")] = None,
    pipeline_root: Annotated[
        str | None, typer.Option(help="gs:// or s3:// prefix for artifacts.", show_default="the cluster's")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run; exit as a local run would.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent; change nothing.")] = False,
    experiment: Experiment = None,
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    kube_context: KubeContext = None,
    config: Config = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say why nothing is known of waiting pods.")] = False,
) -> None:
    """Run the pipeline on a Kubeflow cluster."""
    from lesionflow.cli.short_text import short_policy, short_recipe
    from lesionflow.errors import UserError
    from lesionflow.kubeflow.submit import check_pinned, prepare, send
    from lesionflow.kubeflow.values import check_uri, check_values
    from lesionflow.policy import choose_policy
    from lesionflow.preflight.starting_weights import check_baked
    from lesionflow.profile import load_profile
    from lesionflow.recipe import load_recipe
    from lesionflow.runtime.container_image import WEIGHTS_FOLDER

    settings = settings_of(config, experiment, endpoint, namespace, kube_context)
    parameters: dict[str, Any] = {
        "source": data,
        "checkpoints": checkpoints,
        "recipe": short_recipe(load_recipe(recipe)),
        "weights": weights,
        "duplicate_pairs": duplicate_pairs,
        "leak_guard": leak_guard,
        "seed": seed,
        "policy": short_policy(choose_policy(policy, metric, min_f1, folds)),
    }
    if folds is not None:
        from lesionflow.pipelines.cross_validation import check_folds

        check_folds(folds, fixed_test, registry)
    elif registry is None:
        raise UserError("--registry is missing; give the gs:// or s3:// prefix for promoted models, or --folds.")
    else:
        parameters |= {"registry": registry, "fixed_test": fixed_test}
    options = {name: f"--{name.replace('_', '-')}" for name in parameters}
    check_values(parameters, options | {"source": "--data"})
    if pipeline_root is not None:
        check_uri("--pipeline-root", pipeline_root)
    console = Console(file=sys.stdout)
    submission = prepare(
        load_profile(profile), parameters, settings.experiment, run_name, service_account, pipeline_root, folds
    )
    if dry_run:
        _show_plan(console, submission, *_look(settings, submission))
        if submission.unpinned:
            console.print("Its images are not pinned by digest; it would be refused.", style="yellow")
        return
    check_pinned(submission)
    if weights.startswith(WEIGHTS_FOLDER):
        check_baked(weights)  # the images are those of the present code, or they would not be pinned

    from lesionflow.kubeflow.client.connection import connect, run_url
    from lesionflow.kubeflow.runs.follow import follow
    from lesionflow.kubeflow.runs.stop import ask_to_stop

    client = connect(settings)
    run: Any = send(client, submission)
    console.print(f"Run:  {submission.run_name}, {run.run_id}", markup=False, highlight=False, soft_wrap=True)
    if url := run_url(settings, run.run_id):
        console.print(f"See:  {url}", highlight=False, soft_wrap=True, markup=False)
    if not wait:
        console.print(f"Next: lesionflow status {run.run_id}", markup=False, highlight=False, soft_wrap=True)
        return
    try:
        raise typer.Exit(follow(client, settings, run.run_id, console, verbose, folds, registry or ""))
    except KeyboardInterrupt:
        ask_to_stop(client, run.run_id, console)
        raise typer.Exit(130) from None


def _look(settings: "ClusterSettings", submission: "Submission") -> tuple["Known | None", str]:
    """What the cluster has already, or why that is not known."""
    from lesionflow.errors import UserError
    from lesionflow.kubeflow.client.connection import connect
    from lesionflow.kubeflow.client.errors import ClusterError
    from lesionflow.kubeflow.submit import look

    try:
        return look(connect(settings), submission), ""
    except (UserError, ClusterError) as error:
        return None, str(error)


def _show_plan(console: Console, submission: "Submission", known: "Known | None", unknown: str) -> None:
    from rich.table import Table

    def state(found: Any | None) -> str:
        return "" if known is None else " [dim](there already)[/]" if found else " [green](new)[/]"

    plan = Table.grid(padding=(0, 2))
    plan.add_column(style="bold", no_wrap=True)
    plan.add_column(overflow="fold")
    plan.add_row("pipeline", f"{submission.pipeline}{state(known and known.pipeline)}")
    plan.add_row("version", f"{escape(submission.version)}{state(known and known.version)}")
    plan.add_row("experiment", f"{escape(submission.experiment)}{state(known and known.experiment)}")
    plan.add_row("run", f"{escape(submission.run_name)} [green](new)[/]")
    plan.add_row("service account", escape(submission.service_account))
    root = submission.pipeline_root
    plan.add_row("pipeline root", escape(root) if root else "[dim]the cluster's default[/]")
    store = submission.object_store
    plan.add_row("s3:// leads to", escape(store) if store else "[dim]Amazon's S3[/]")
    for label, values in (
        ("images", submission.images),
        ("parameters", [f"{name} = {value}" for name, value in submission.parameters.items()]),
    ):
        for index, value in enumerate(values):
            plan.add_row(label if index == 0 else "", escape(value))
    console.print(plan, highlight=False)
    if unknown:
        console.print(
            f"What the cluster has already is not known: {unknown}", style="yellow", markup=False, soft_wrap=True
        )
    console.print("Nothing was sent.", highlight=False)
