"""`lesionflow run`."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from lesionflow.cli.console import console_of_run
from lesionflow.cli.options.local import DEFAULT_OUTPUT, Gpus, Memory, Output, Runner, RunnerChoice, Verbose
from lesionflow.cli.options.training import (
    Data,
    DuplicatePairs,
    FixedTest,
    Folds,
    LeakGuard,
    MaxQuarantine,
    Metric,
    MinF1,
    PolicyFile,
    Recipe,
    Registry,
    Seed,
    TaxonomyFile,
    Weights,
)
from lesionflow.errors import UserError
from lesionflow.storage import Address

if TYPE_CHECKING:
    from lesionflow.local.backend import Backend
    from lesionflow.local.workspace import Workspace
    from lesionflow.policy import Policy
    from lesionflow.recipe import Recipe as TrainingRecipe
    from lesionflow.taxonomy import Taxonomy


def run(
    data: Data = None,
    recipe: Recipe = None,
    weights: Weights = None,
    min_f1: MinF1 = None,
    metric: Metric = None,
    policy: PolicyFile = None,
    taxonomy: TaxonomyFile = "ham10000",
    seed: Seed = 0,
    registry: Registry = None,
    duplicate_pairs: DuplicatePairs = "",
    fixed_test: FixedTest = "",
    leak_guard: LeakGuard = True,
    max_quarantine: MaxQuarantine = 0.01,
    folds: Folds = None,
    runner: RunnerChoice = Runner.SUBPROCESS,
    gpus: Gpus = 0,
    memory: Memory = None,
    output: Output = DEFAULT_OUTPUT,
    verbose: Verbose = False,
) -> None:
    """Run the whole pipeline on this machine."""
    from lesionflow.local.run import run as run_training
    from lesionflow.local.workspace import Workspace

    console, workspace = console_of_run(), Workspace(output.absolute())
    gate, classes = _judging(policy, metric, min_f1, folds, taxonomy)  # not after an hour of training
    if folds is not None:
        from lesionflow.pipelines.cross_validation import check_folds

        check_folds(folds, fixed_test, registry)
    chosen, start, shown = _starting(recipe, weights, synthetic=data is None, in_containers=runner is Runner.DOCKER)
    if data is None:
        data = _synthetic(classes, workspace, console)
    arguments = {
        "source": _absolute(data),
        "registry": _absolute(registry or str(workspace.registry)),
        "recipe": chosen.model_dump_json(),
        "weights": start,
        "seed": seed,
        "policy": gate.text(),
        "taxonomy": classes.text(),
        "duplicate_pairs": _absolute(duplicate_pairs, words=("",)),
        "fixed_test": _absolute(fixed_test, words=("",)),
        "leak_guard": leak_guard,
        "max_quarantine": max_quarantine,
        "checkpoints": str(workspace.checkpoints),
    }
    backend = _backend(runner, arguments, gpus, memory, shown)
    if folds is not None:
        del arguments["registry"], arguments["fixed_test"]
    raise typer.Exit(run_training(arguments, workspace, backend, console, verbose, folds))


def _judging(
    policy: str | None, metric: str | None, min_f1: float | None, folds: int | None, taxonomy: str
) -> "tuple[Policy, Taxonomy]":
    """What the gate asks for, and the classes that it asks it of."""
    from lesionflow.policy import check_classes, choose_policy
    from lesionflow.taxonomy import load_taxonomy

    gate, classes = choose_policy(policy, metric, min_f1, folds), load_taxonomy(taxonomy)
    check_classes(gate, classes)
    return gate, classes


def _starting(
    recipe: str | None, weights: str | None, synthetic: bool, in_containers: bool
) -> "tuple[TrainingRecipe, str, Path | None]":
    """The recipe, its starting weights, and a file that containers need for them (see `check_starting_weights`)."""
    from lesionflow.preflight.starting_weights import check_starting_weights
    from lesionflow.recipe import load_recipe

    chosen = load_recipe(recipe or ("demo" if synthetic else "quick"))
    start = _absolute(weights or ("none" if synthetic else "imagenet"), words=("imagenet", "none"))
    return chosen, start, check_starting_weights(start, chosen.backbone, in_containers, partial(print, flush=True))


def _synthetic(classes: "Taxonomy", workspace: "Workspace", console: Console) -> str:
    """The folder of synthetic data, made if it is not there."""
    from lesionflow.data.synthetic.dataset import standing_synthetic_data
    from lesionflow.taxonomy import HAM10000

    if classes != HAM10000:
        raise UserError(f"The synthetic data has the classes of ham10000, not of {classes.name}; add --data.")
    console.print("No --data given: running on synthetic data, which says nothing about skin.", style="yellow")
    return str(standing_synthetic_data(workspace.root / "synthetic"))


def _backend(
    runner: Runner, arguments: Mapping[str, Any], gpus: int, memory: str | None, weights: Path | None
) -> "Backend":
    """How the tasks of a run with these arguments are run; containers see `weights` in their folder of weights."""
    from lesionflow.local.container_settings import ContainerNeeds
    from lesionflow.local.containers import ContainerBackend
    from lesionflow.local.processes import ProcessBackend

    if runner is Runner.SUBPROCESS:
        if gpus or memory:
            raise UserError("--gpus and --memory are for containers; add --runner docker, or leave them out.")
        return ProcessBackend()

    def local_paths(*names: str) -> list[Path]:
        values = [str(arguments[name]) for name in names]
        return [Path(value) for value in values if Path(value).is_absolute()]

    needs = ContainerNeeds(
        readable=local_paths("source", "weights", "duplicate_pairs", "fixed_test"),
        writable=local_paths("registry"),
        gpus=gpus,
        memory=memory,
        weights=weights,
    )
    return ContainerBackend(needs)


def _absolute(path: str, words: tuple[str, ...] = ()) -> str:
    """Tasks run elsewhere and artifacts outlive the shell: record whole addresses. `words` are none."""
    return path if path in words else str(Address.parse(path).absolute())
