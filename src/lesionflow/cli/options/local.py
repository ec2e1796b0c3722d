"""Options of verbs that work on this machine."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_OUTPUT = Path("lesionflow-runs")


class Runner(StrEnum):
    """Ways to run tasks on this machine."""

    SUBPROCESS = "subprocess"
    DOCKER = "docker"


Output = Annotated[Path, typer.Option(help="Folder for runs, their artifacts and the model registry.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show everything the steps write.")]
RunnerChoice = Annotated[Runner, typer.Option(help="How tasks are run; docker uses the images of a cluster.")]
Gpus = Annotated[int, typer.Option(min=-1, help="GPUs per container, -1 for all; with --runner docker.")]
Memory = Annotated[str | None, typer.Option(help="Limit per container, e.g. 8g; with --runner docker.")]
