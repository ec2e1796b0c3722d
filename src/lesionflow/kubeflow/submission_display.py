"""What a person sees of a run that is not sent: `lesionflow submit --dry-run`."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lesionflow.errors import ClusterError, UserError
from lesionflow.kubeflow.client.connection import connect
from lesionflow.kubeflow.client.settings import ClusterSettings
from lesionflow.kubeflow.send import Known, look
from lesionflow.kubeflow.submission import Submission


def show_plan(console: Console, settings: ClusterSettings, submission: Submission) -> None:
    """Show what would be sent, and what of it the cluster has already, as far as that is known."""
    known, unknown = _look(settings, submission)
    console.print(_table(submission, known), highlight=False)
    if unknown:
        console.print(
            f"What the cluster has already is not known: {unknown}", style="yellow", markup=False, soft_wrap=True
        )
    console.print("Nothing was sent.", highlight=False)
    if submission.unpinned:
        console.print("Its images are not pinned by digest; it would be refused.", style="yellow")


def _look(settings: ClusterSettings, submission: Submission) -> tuple[Known | None, str]:
    """What the cluster has already, or why that is not known."""
    try:
        return look(connect(settings), submission), ""
    except (UserError, ClusterError) as error:
        return None, str(error)


def _table(submission: Submission, known: Known | None) -> Table:
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
    return plan
