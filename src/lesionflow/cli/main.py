"""The `lesionflow` command. Each command imports what it needs when it is called."""

import sys
from collections.abc import Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from lesionflow.cli.cluster_commands import submit
from lesionflow.cli.doctor_commands import doctor
from lesionflow.cli.model_commands import compare, predict, verify
from lesionflow.cli.run_commands import list_, logs, status, stop
from lesionflow.cli.schedule_commands import app as schedule_app
from lesionflow.cli.training_options import Folds, LeakGuard, Metric, MinF1, PolicyFile, Seed
from lesionflow.errors import GateRefused, UserError
from lesionflow.kubeflow.client.errors import ClusterError

if TYPE_CHECKING:
    from lesionflow.local.backend import Backend

app = typer.Typer(
    name="lesionflow",
    help="Dermatoscopic images in, a gated skin-lesion classifier out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DEFAULT_OUTPUT = Path("lesionflow-runs")


class Runner(StrEnum):
    """Ways to run tasks on this machine."""

    SUBPROCESS = "subprocess"
    DOCKER = "docker"


Output = Annotated[Path, typer.Option(help="Folder for runs, their artifacts and the model registry.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show everything the steps write.")]


@app.command()
def run(
    data: Annotated[
        str | None, typer.Option(help="Folder, zip, gs:// or s3:// prefix.", show_default="synthetic data")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="best, published, quick, demo, or a YAML or JSON file.", show_default="quick; demo on synthetic data"
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="imagenet, none, or a weights file.", show_default="imagenet; none on synthetic data"),
    ] = None,
    min_f1: MinF1 = None,
    metric: Metric = None,
    policy: PolicyFile = None,
    seed: Seed = 0,
    registry: Annotated[
        str | None, typer.Option(help="Folder, gs:// or s3:// prefix.", show_default="OUTPUT/registry")
    ] = None,
    duplicate_pairs: Annotated[str, typer.Option(help="CSV of image pairs that must stay on one side.")] = "",
    fixed_test: Annotated[str, typer.Option(help="List of the test images.")] = "",
    leak_guard: LeakGuard = True,
    max_quarantine: Annotated[
        float, typer.Option(min=0, max=1, help="Largest share of damaged items tolerated.")
    ] = 0.01,
    folds: Folds = None,
    runner: Annotated[Runner, typer.Option(help="How tasks are run; docker uses the images of a cluster.")] = (
        Runner.SUBPROCESS
    ),
    gpus: Annotated[int, typer.Option(min=-1, help="GPUs per container, -1 for all; with --runner docker.")] = 0,
    memory: Annotated[str | None, typer.Option(help="Limit per container, e.g. 8g; with --runner docker.")] = None,
    output: Output = DEFAULT_OUTPUT,
    verbose: Verbose = False,
) -> None:
    """Run the whole pipeline on this machine."""
    from lesionflow.data.synthetic.dataset import standing_synthetic_data
    from lesionflow.local.run import run as run_training
    from lesionflow.local.workspace import Workspace
    from lesionflow.policy import choose_policy
    from lesionflow.preflight.starting_weights import check_starting_weights
    from lesionflow.recipe import load_recipe

    console = _console()
    workspace = Workspace(output.absolute())
    gate = choose_policy(policy, metric, min_f1, folds)  # not after an hour of training
    if folds is not None:
        from lesionflow.pipelines.cross_validation import check_folds

        check_folds(folds, fixed_test, registry)
    chosen = load_recipe(recipe or ("quick" if data else "demo"))
    start = _absolute(weights or ("imagenet" if data else "none"), words=("imagenet", "none"))
    shown = check_starting_weights(start, chosen.backbone, runner is Runner.DOCKER, partial(print, flush=True))
    if data is None:
        console.print("No --data given: running on synthetic data, which says nothing about skin.", style="yellow")
        data = str(standing_synthetic_data(workspace.root / "synthetic"))
    arguments = {
        "source": _absolute(data),
        "registry": _absolute(registry or str(workspace.registry)),
        "recipe": chosen.model_dump_json(),
        "weights": start,
        "seed": seed,
        "policy": gate.text(),
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


@app.command()
def step(
    name: Annotated[
        str,
        typer.Argument(
            help="fingerprint, ingest, duplicates, split, balance, finetune, evaluate, gate, export, promote"
        ),
    ],
    artifacts: Annotated[list[str], typer.Option("--input", metavar="NAME=URI", help="An input artifact.")] = [],  # noqa: B006
    values: Annotated[list[str], typer.Option("--set", metavar="NAME=VALUE", help="A parameter.")] = [],  # noqa: B006
    output: Annotated[
        Path | None, typer.Option(help="Folder for the outputs.", show_default="lesionflow-runs/steps/...")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Run one component alone, on local, gs:// or s3:// artifacts."""
    from lesionflow.local.one_step import run_one

    raise typer.Exit(run_one(name, artifacts, values, output, _console(), verbose))


@app.command()
def synth(
    out: Annotated[str, typer.Argument(help="New folder, gs:// or s3:// prefix for the data.")],
    images: Annotated[int, typer.Option(help="How many.")] = 700,
    size: Annotated[tuple[int, int], typer.Option(help="Width and height, pixels.")] = (200, 150),
    seed: Annotated[int, typer.Option(help="Same seed, same data.")] = 0,
    shuffle_labels: Annotated[
        bool, typer.Option("--shuffle-labels", help="Nothing can be learned from it: shows that the gate is honest.")
    ] = False,
) -> None:
    """Write synthetic data in HAM10000's own layout: seven looks that can be learned."""
    from lesionflow import storage
    from lesionflow.data.synthetic.bucket import write_synthetic_to_bucket
    from lesionflow.data.synthetic.dataset import write_synthetic

    if storage.is_remote(out):
        counts = write_synthetic_to_bucket(out, images, size, seed, shuffle_labels)
    else:
        counts = write_synthetic(storage.local_path(out), images, size, seed, shuffle_labels)
    Console().print(f"Wrote {images} synthetic images to {out}: {counts}", highlight=False, markup=False)


@app.command(name="compile")
def compile_(
    output: Annotated[Path, typer.Option("-o", "--output", help="YAML file to write.")] = Path(
        "lesionflow-pipeline.yaml"
    ),
    kubernetes_manifest: Annotated[
        bool, typer.Option("--kubernetes-manifest", help="As Pipeline and PipelineVersion resources.")
    ] = False,
    profile: Annotated[str, typer.Option(help="gke, generic, cpu-only, or a YAML file.")] = "generic",
    folds: Annotated[
        int | None,
        typer.Option(help="The cross-validation pipeline, with so many folds.", show_default="the training pipeline"),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Digests of the images.", show_default="images/digests.json, of 'make images'")
    ] = None,
) -> None:
    """Compile the pipeline for a Kubeflow cluster."""
    from lesionflow.kubeflow.compile import compile_pipeline
    from lesionflow.pipelines.cross_validation import check_folds
    from lesionflow.profile import load_profile
    from lesionflow.runtime.container_images import read_pins
    from lesionflow.runtime.files import check_output

    if folds is not None:
        check_folds(folds)
    check_output(output)
    unpinned = compile_pipeline(output, load_profile(profile), read_pins(images), kubernetes_manifest, folds)
    console = Console()
    console.print(f"Compiled to {output}", highlight=False, soft_wrap=True)
    if unpinned:
        console.print(
            f"Not pinned by digest: {', '.join(unpinned)}; build and push this code with 'make images REPOSITORY=...'.",
            style="yellow",
            highlight=False,
            soft_wrap=True,
        )


@app.command()
def clean(
    keep: Annotated[int, typer.Option(min=0, help="How many of the newest runs stay.")] = 3,
    output: Output = DEFAULT_OUTPUT,
) -> None:
    """Remove old runs and the artifacts that no remaining run uses."""
    from lesionflow.local.clean import clean as clean_runs
    from lesionflow.local.workspace import Workspace

    freed, removed = clean_runs(Workspace(output.absolute()), keep)
    Console().print(f"Removed {removed} runs, freed {freed / 2**20:.0f} MiB.", highlight=False)


app.command()(submit)
app.command()(status)
app.command()(logs)
app.command()(stop)
app.command(name="list")(list_)
app.command()(doctor)
app.command()(predict)
app.command()(compare)
app.command()(verify)
app.add_typer(schedule_app, name="schedule")


def _backend(
    runner: Runner, arguments: Mapping[str, Any], gpus: int, memory: str | None, weights: Path | None
) -> "Backend":
    """How the tasks of a run with these arguments are run; containers see `weights` in their folder of weights."""
    from lesionflow import storage
    from lesionflow.local.containers import ContainerBackend
    from lesionflow.local.processes import ProcessBackend

    if runner is Runner.SUBPROCESS:
        if gpus or memory:
            raise UserError("--gpus and --memory are for containers; add --runner docker, or leave them out.")
        return ProcessBackend()

    def local_paths(*names: str) -> list[Path]:
        values = [str(arguments[name]) for name in names]
        return [Path(value) for value in values if Path(value).is_absolute() and not storage.is_remote(value)]

    return ContainerBackend(
        readable=local_paths("source", "weights", "duplicate_pairs", "fixed_test"),
        writable=local_paths("registry"),
        gpus=gpus,
        memory=memory,
        weights=weights,
    )


def _console() -> Console:
    """A console that keeps writing to the terminal while sys.stdout is redirected to kfp's log."""
    return Console(file=sys.stdout)


def _absolute(path: str, words: tuple[str, ...] = ()) -> str:
    """Tasks run elsewhere and artifacts outlive the shell: record whole paths. `words` are no paths."""
    return path if path in words or "://" in path else str(Path(path).expanduser().absolute())


def main() -> None:
    """Entry point: a user's mistake ends in one sentence and exit code 2, without a traceback."""
    console = Console(stderr=True)

    def fail(word: str, error: Exception, code: int) -> NoReturn:
        console.print(f"[bold red]{word}:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(code)

    try:
        app()
    except UserError as error:
        fail("Error", error, 2)
    except ClusterError as error:
        fail("Failed", error, 1)
    except GateRefused as error:
        fail("Refused", error, 3)
    except KeyboardInterrupt:
        console.print("Interrupted.")
        sys.exit(130)
