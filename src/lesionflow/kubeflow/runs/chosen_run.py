"""The run that a person names, with what is needed to look at it."""

from dataclasses import dataclass
from typing import Any

import kfp

from lesionflow.kubeflow.client.connection import connect
from lesionflow.kubeflow.client.settings import ClusterSettings
from lesionflow.kubeflow.runs.run_reader import RunReader
from lesionflow.kubeflow.runs.runs import find_run


@dataclass(frozen=True)
class ChosenRun:
    """A run on the cluster."""

    client: kfp.Client
    run: Any
    """KFP's account of it."""
    reader: RunReader


def choose_run(settings: ClusterSettings, which: str | None) -> ChosenRun:
    """Connect, and find a run.

    Args:
        settings: of the cluster.
        which: its id, the beginning of its id, or its name; None for the newest of the experiment.

    Raises:
        UserError: of `connect` and `find_run`.
        ClusterError: of `connect`.
    """
    client = connect(settings)
    return ChosenRun(client, find_run(client, which, settings.experiment), RunReader(client, settings))
