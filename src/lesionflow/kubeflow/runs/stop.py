"""Stop a run on the cluster: as a command, and when somebody who follows it presses Ctrl-C."""

import sys
from typing import Any, cast

import kfp
from rich.console import Console
from rich.markup import escape

from lesionflow.kubeflow.client.transport import Refused
from lesionflow.kubeflow.runs.task_state import FINISHED


def stop_run(client: kfp.Client, run: Any) -> str:
    """Ask KFP to end a run and its pods.

    Args:
        client: of `connect`.
        run: KFP's account of it.

    Returns:
        What came of it, as a sentence.

    Raises:
        UserError: the run is not there, or this user may not stop it.
        ClusterError: the API does not answer.
    """
    if run.state in FINISHED:
        return f"The run {run.run_id} has ended already: it {run.state.lower()}."
    if run.state == "CANCELING":
        return f"The run {run.run_id} is being stopped already."
    try:
        cast(Any, client).runs.run_service_terminate_run(run.run_id)
    except Refused:
        now: Any = client.get_run(run.run_id)  # it may have ended meanwhile, or somebody else stopped it
        if now.state not in FINISHED:
            raise
        return f"The run {run.run_id} ended before it could be stopped: it {now.state.lower()}."
    return (
        f"The run {run.run_id} is being stopped; submitted again with the same --checkpoints, it goes on at the last "
        "epoch that was saved."
    )


def offer_to_stop(client: kfp.Client, run_id: str, console: Console) -> None:
    """After Ctrl-C: ask, on a terminal, whether to stop the run; elsewhere say that it goes on, and how to stop it.

    A second Ctrl-C leaves at once, and the run goes on.

    Raises:
        UserError, ClusterError: of `stop_run`.
    """
    try:
        if sys.stdin.isatty() and console.is_terminal:
            console.print(f"[bold yellow]Stop the run {escape(run_id)}?[/] \\[y/N] ", end="", highlight=False)
            if input().strip().lower() in ("y", "yes"):
                console.print(stop_run(client, client.get_run(run_id)), markup=False, highlight=False, soft_wrap=True)
                return
    except (KeyboardInterrupt, EOFError):
        console.print()
    console.print(
        f"[bold yellow]The run goes on.[/] Look again with: lesionflow status {escape(run_id)}; "
        f"stop it with: lesionflow stop {escape(run_id)}",
        highlight=False,
        soft_wrap=True,
    )
