"""`lesionflow status`, `logs`, `stop` and `list`."""

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from lesionflow.cli.cluster_options import Config, Endpoint, Experiment, KubeContext, Namespace, settings_of

if TYPE_CHECKING:
    from lesionflow.kubeflow.runs.run_reader import RunReader

WhichRun = Annotated[
    str | None, typer.Argument(help="Its id, the beginning of it, or its name.", show_default="the newest")
]


def status(
    run: WhichRun = None,
    experiment: Experiment = None,
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    kube_context: KubeContext = None,
    config: Config = None,
) -> None:
    """Show how far a run on the cluster is, step by step."""
    from lesionflow.kubeflow.client.connection import connect, run_url
    from lesionflow.kubeflow.runs.run_reader import RunReader
    from lesionflow.kubeflow.runs.runs import find_run, verdict_of
    from lesionflow.runtime.run_display import step_line

    settings = settings_of(config, experiment, endpoint, namespace, kube_context)
    client = connect(settings)
    found = find_run(client, run, settings.experiment)
    console = Console(file=sys.stdout)
    reader = RunReader(client, settings)
    now = reader.look(found.run_id, found)
    started, duration, state = _facts(found)
    outcome = verdict_of(now)
    for label, text in (
        ("Run", f"{found.display_name}, {found.run_id}"),
        ("See", run_url(settings, found.run_id)),
        ("Is", ", ".join(filter(None, (state, outcome, started and f"started {started}", duration)))),
    ):
        if text:
            console.print(f"{label + ':':<5} {text}", markup=False, highlight=False, soft_wrap=True)
    steps = now.steps()
    for step in steps.values():
        console.print(step_line(step, max(map(len, steps))), highlight=False, soft_wrap=True)
    if reader.lacks:
        console.print(reader.lacks, style="yellow", markup=False, highlight=False, soft_wrap=True)


def logs(
    run: Annotated[str, typer.Argument(help="Its id, the beginning of it, or its name.")],
    step: Annotated[str | None, typer.Argument(help="One step.", show_default="each that has begun")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Wait for more until the step ends.")] = False,
    fold: Annotated[
        int | None, typer.Option(min=1, help="One fold of a cross-validation.", show_default="each")
    ] = None,
    experiment: Experiment = None,
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    kube_context: KubeContext = None,
    config: Config = None,
) -> None:
    """Show what the steps of a run on the cluster wrote."""
    from lesionflow.errors import UserError
    from lesionflow.kubeflow.client.connection import connect
    from lesionflow.kubeflow.runs.logs import Logs, task_of
    from lesionflow.kubeflow.runs.run_reader import RunReader
    from lesionflow.kubeflow.runs.runs import find_run

    if step is not None:
        task_of(step)  # a wrong name is said without the cluster
    settings = settings_of(config, experiment, endpoint, namespace, kube_context)
    client = connect(settings)
    found = find_run(client, run, settings.experiment)
    console, beside = Console(file=sys.stdout), Console(file=sys.stderr)

    def tell(sentence: str) -> None:
        beside.print(sentence, style="yellow", markup=False, highlight=False, soft_wrap=True)

    reader = RunReader(client, settings)
    steps = reader.look(found.run_id, found).steps()
    wanted = [step] if step is not None else [n for n, s in steps.items() if s.status not in ("waiting", "reused")]
    if not wanted:
        raise UserError(f"No step of the run {found.run_id} has begun; see `lesionflow status {found.run_id}`.")
    if reader.lacks and follow:
        tell(reader.lacks)
    for name in wanted:
        if len(wanted) > 1:
            console.print(f"[bold]{name}[/]", highlight=False)
        # With several steps only the last can still be writing.
        lines = Logs(client, reader, tell).lines(
            found, name, follow and name == wanted[-1], None if fold is None else fold - 1
        )
        try:
            with closing(lines):
                for line in lines:
                    console.print(line, markup=False, highlight=False, soft_wrap=True)
        except UserError as error:
            if len(wanted) == 1:
                raise
            console.print(str(error), style="yellow", markup=False, highlight=False, soft_wrap=True)


def stop(
    run: Annotated[str, typer.Argument(help="Its id, the beginning of it, or its name.")],
    experiment: Experiment = None,
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    kube_context: KubeContext = None,
    config: Config = None,
) -> None:
    """Stop a run on the cluster, and its pods."""
    from lesionflow.kubeflow.client.connection import connect
    from lesionflow.kubeflow.runs.runs import find_run
    from lesionflow.kubeflow.runs.stop import stop_run

    settings = settings_of(config, experiment, endpoint, namespace, kube_context)
    client = connect(settings)
    found = find_run(client, run, settings.experiment)
    Console(file=sys.stdout).print(stop_run(client, found), markup=False, highlight=False, soft_wrap=True)


def list_(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many of the newest.")] = 10,
    experiment: Experiment = None,
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    kube_context: KubeContext = None,
    config: Config = None,
) -> None:
    """List the newest runs of an experiment on the cluster."""
    from lesionflow.kubeflow.client.connection import connect
    from lesionflow.kubeflow.runs.run_reader import RunReader
    from lesionflow.kubeflow.runs.runs import newest_runs

    settings = settings_of(config, experiment, endpoint, namespace, kube_context)
    client = connect(settings)
    runs = newest_runs(client, settings.experiment, limit)
    Console(file=sys.stdout).print(_table(RunReader(client, settings), runs))


def _table(reader: "RunReader", runs: Any) -> Any:
    """Runs as a table that fits 80 columns. Only the beginning of an id is shown, which will do to name a run."""
    from rich.table import Table

    from lesionflow.kubeflow.runs.runs import verdict

    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for title in ("run", "name", "state", "started", "duration", "verdict"):
        table.add_column(title, no_wrap=title != "name", overflow="fold")
    for run in runs:
        started, duration, state = _facts(run)
        outcome = verdict(reader, run)
        table.add_row(*map(escape, (run.run_id[:8], run.display_name or "", state, started, duration, outcome)))
    return table


def _facts(run: Any) -> tuple[str, str, str]:
    """When a run started, how long it took, and its state, in words."""
    from lesionflow.kubeflow.runs.runs import seconds_of
    from lesionflow.kubeflow.runs.task_details import moment
    from lesionflow.runtime.run_display import clock

    started, seconds = moment(run.created_at), seconds_of(run)
    return (
        f"{started.astimezone():%Y-%m-%d %H:%M}" if started else "",
        "" if seconds is None else clock(seconds),
        (run.state or "PENDING").lower(),
    )
