"""`lesionflow submit`, `status`, `logs` and `list`."""

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from pipelines.cluster.options import Config, Endpoint, Experiment, KubeContext, Namespace
from pipelines.training_options import Folds, LeakGuard, Metric, MinF1, PolicyFile, Seed

if TYPE_CHECKING:
    from pipelines.cluster.settings import ClusterSettings
    from pipelines.cluster.submit import Known, Submission

WhichRun = Annotated[
    str | None, typer.Argument(help="Its id, the beginning of it, or its name.", show_default="the newest")
]


def submit(
    data: Annotated[str, typer.Option(help="gs:// or s3:// prefix with images and metadata.")],
    registry: Annotated[
        str | None,
        typer.Option(help="gs:// or s3:// prefix for promoted models.", show_default="needed without --folds"),
    ] = None,
    checkpoints: Annotated[
        str, typer.Option(help="gs:// or s3:// prefix for checkpoints: a preempted step goes on where it was.")
    ] = "",
    recipe: Annotated[str, typer.Option(help="best, quick, seed, or a YAML or JSON file.")] = "seed",
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
    from components.common.container_image import WEIGHTS_FOLDER
    from components.common.errors import UserError
    from components.common.recipe import load_recipe
    from components.gate.policy import choose_policy
    from pipelines.cluster.profile import load_profile
    from pipelines.cluster.submit import check_pinned, prepare, send
    from pipelines.cluster.values import check_uri, check_values
    from pipelines.starting_weights import check_baked

    settings = _settings(config, experiment, endpoint, namespace, kube_context)
    parameters: dict[str, Any] = {
        "source": data,
        "checkpoints": checkpoints,
        "recipe": load_recipe(recipe).model_dump_json(),
        "weights": weights,
        "duplicate_pairs": duplicate_pairs,
        "leak_guard": leak_guard,
        "seed": seed,
        "policy": choose_policy(policy, metric, min_f1, folds).text(),
    }
    if folds is not None:
        from pipelines.cross_validation import check_folds

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

    from pipelines.cluster.connection import connect, run_url
    from pipelines.cluster.follow import follow

    client = connect(settings)
    run: Any = send(client, submission)
    console.print(f"Run:  {submission.run_name}, {run.run_id}", markup=False, highlight=False, soft_wrap=True)
    if url := run_url(settings, run.run_id):
        console.print(f"See:  {url}", highlight=False, soft_wrap=True, markup=False)
    if not wait:
        console.print(f"Next: lesionflow status {run.run_id}", markup=False, highlight=False, soft_wrap=True)
        return
    try:
        raise typer.Exit(follow(client, settings, run.run_id, console, verbose))
    except KeyboardInterrupt:
        console.print(
            f"[bold yellow]The run goes on.[/] Look again with: lesionflow status {escape(run.run_id)}; "
            "stop it on its page.",
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(130) from None


def status(
    run: WhichRun = None,
    experiment: Experiment = None,
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    kube_context: KubeContext = None,
    config: Config = None,
) -> None:
    """Show how far a run on the cluster is, step by step."""
    from pipelines.cluster.connection import connect, run_url
    from pipelines.cluster.runs import find_run, steps_of
    from pipelines.display import step_line

    settings = _settings(config, experiment, endpoint, namespace, kube_context)
    client = connect(settings)
    found = find_run(client, run, settings.experiment)
    console = Console(file=sys.stdout)
    started, duration, state, outcome = _facts(client, found)
    for label, text in (
        ("Run", f"{found.display_name}, {found.run_id}"),
        ("See", run_url(settings, found.run_id)),
        ("Is", ", ".join(filter(None, (state, outcome, started and f"started {started}", duration)))),
    ):
        if text:
            console.print(f"{label + ':':<5} {text}", markup=False, highlight=False, soft_wrap=True)
    steps = steps_of(found)
    for step in steps.values():
        console.print(step_line(step, max(map(len, steps))), highlight=False, soft_wrap=True)


def logs(
    run: Annotated[str, typer.Argument(help="Its id, the beginning of it, or its name.")],
    step: Annotated[str | None, typer.Argument(help="One step.", show_default="each that has begun")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Wait for more until the step ends.")] = False,
    experiment: Experiment = None,
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    kube_context: KubeContext = None,
    config: Config = None,
) -> None:
    """Show what the steps of a run on the cluster wrote."""
    from components.common.errors import UserError
    from pipelines.cluster.connection import connect
    from pipelines.cluster.logs import Logs, task_of
    from pipelines.cluster.runs import find_run, steps_of

    if step is not None:
        task_of(step)  # a wrong name is said without the cluster
    settings = _settings(config, experiment, endpoint, namespace, kube_context)
    client = connect(settings)
    found = find_run(client, run, settings.experiment)
    begun = [name for name, state in steps_of(found).items() if state.status not in ("waiting", "reused")]
    wanted = [step] if step is not None else begun
    if not wanted:
        raise UserError(f"No step of the run {found.run_id} has begun; see `lesionflow status {found.run_id}`.")
    console = Console(file=sys.stdout)
    for name in wanted:
        if len(wanted) > 1:
            console.print(f"[bold]{name}[/]", highlight=False)
        try:
            # With several steps only the last can still be writing.
            with closing(Logs(client, settings).lines(found, name, follow and name == wanted[-1])) as lines:
                for line in lines:
                    console.print(line, markup=False, highlight=False, soft_wrap=True)
        except UserError as error:
            if len(wanted) == 1:
                raise
            console.print(str(error), style="yellow", markup=False, highlight=False, soft_wrap=True)


def list_(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many of the newest.")] = 10,
    experiment: Experiment = None,
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    kube_context: KubeContext = None,
    config: Config = None,
) -> None:
    """List the newest runs of an experiment on the cluster."""
    from pipelines.cluster.connection import connect
    from pipelines.cluster.runs import newest_runs

    settings = _settings(config, experiment, endpoint, namespace, kube_context)
    client = connect(settings)
    runs = newest_runs(client, settings.experiment, limit)
    Console(file=sys.stdout).print(_table(client, runs))


def _settings(
    config: Path | None, experiment: str | None, endpoint: str | None, namespace: str | None, kube_context: str | None
) -> "ClusterSettings":
    from pipelines.cluster.settings import ClusterSettings

    flags = {"experiment": experiment, "endpoint": endpoint, "namespace": namespace, "kube_context": kube_context}
    return ClusterSettings.load(config, **flags)


def _look(settings: "ClusterSettings", submission: "Submission") -> tuple["Known | None", str]:
    """What the cluster has already, or why that is not known."""
    from components.common.errors import UserError
    from pipelines.cluster.connection import connect
    from pipelines.cluster.errors import ClusterError
    from pipelines.cluster.submit import look

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


def _table(client: Any, runs: Any) -> Any:
    """Runs as a table that fits 80 columns. Only the beginning of an id is shown, which will do to name a run."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for title in ("run", "name", "state", "started", "duration", "verdict"):
        table.add_column(title, no_wrap=title != "name", overflow="fold")
    for run in runs:
        started, duration, state, outcome = _facts(client, run)
        table.add_row(*map(escape, (run.run_id[:8], run.display_name or "", state, started, duration, outcome)))
    return table


def _facts(client: Any, run: Any) -> tuple[str, str, str, str]:
    """When a run started, how long it took, its state and its verdict, in words."""
    from pipelines.cluster.runs import moment, seconds_of, verdict
    from pipelines.display import clock

    started, seconds = moment(run.created_at), seconds_of(run)
    return (
        f"{started.astimezone():%Y-%m-%d %H:%M}" if started else "",
        "" if seconds is None else clock(seconds),
        (run.state or "PENDING").lower(),
        verdict(client, run),
    )
