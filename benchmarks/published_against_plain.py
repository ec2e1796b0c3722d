"""The `published` recipe in the pipeline, against the plain Keras script of the same method: seconds.

    python benchmarks/published_against_plain.py --data FOLDER --weights FILE [--size 96] [--epochs 1 2 1] [--rounds 1]

Runs `lesionflow run` from the raw data into a fresh folder, then `plain_keras.py` on the split that it
made, and prints wall and CPU seconds of both and their ratio: of the whole commands, and of the three
fine-tune steps alone. With --rounds 2 or more the two take turns at going first, and medians are printed.
With few epochs the fixed costs weigh most: each side traces its network once a step, the pipeline also
starts ten processes, checks and hashes every image and writes a report. The leak guard is switched off:
the plain script, which is given the finished split, does nothing like it.

`--share 0.03` takes that share of the lesions of each class, at least eight: to see that the script works.
Nothing else should be running on the machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lesionflow.recipe import PUBLISHED, Recipe

PLAIN = Path(__file__).with_name("plain_keras.py")
PHASES = ("head", "partial", "full")
LEAST_LESIONS = 8


@dataclass(frozen=True)
class Cost:
    """Seconds of one run of one side."""

    wall: float
    cpu: float
    """Of all its processes."""
    phases: tuple[float, ...]
    """Wall time of the three fine-tune steps, decoding included."""
    macro_f1: float | None


def subset(data: Path, folder: Path, share: float) -> Path:
    """A copy of a share of the lesions of each class; the metadata is `HAM10000_metadata.csv`."""
    metadata = pd.read_csv(data / "HAM10000_metadata.csv")
    lesions = metadata.drop_duplicates("lesion_id")
    sizes = (lesions["dx"].value_counts() * share).round().clip(lower=LEAST_LESIONS).astype(int)
    kept = {
        str(lesion)
        for label, count in sizes.items()
        for lesion in lesions.loc[lesions["dx"] == label, "lesion_id"].sample(int(count), random_state=0)
    }
    metadata = metadata[metadata["lesion_id"].isin(kept)]
    folder.mkdir()
    metadata.to_csv(folder / "HAM10000_metadata.csv", index=False)
    wanted = set(metadata["image_id"])
    for path in sorted(data.glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if Path(name).stem in wanted:
                    (folder / Path(name).name).write_bytes(archive.read(name))
    return folder


def timed(command: list[str], log: Path) -> tuple[float, float, str]:
    """Run a command; its wall seconds, the CPU seconds of it and its children, and what it printed."""
    wall, cpu = time.perf_counter(), sum(os.times()[2:4])
    with log.open("w") as errors:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    spent = time.perf_counter() - wall, sum(os.times()[2:4]) - cpu
    if done.returncode not in (0, 3):
        sys.exit(f"{command[:2]} failed with code {done.returncode}:\n{done.stdout[-2000:]}\n{log.read_text()[-4000:]}")
    return *spent, done.stdout


def ours(data: Path, weights: str, recipe: Path, seed: int, output: Path) -> Cost:
    """A whole `lesionflow run`, nothing reused."""
    command = [str(Path(sys.executable).with_name("lesionflow")), "run", "--data", str(data), "--weights", weights]
    command += ["--recipe", str(recipe), "--seed", str(seed), "--min-f1", "0.01"]
    command += ["--no-leak-guard", "--output", str(output)]
    wall, cpu, _ = timed(command, output.with_suffix(".log"))
    summary: dict[str, Any] = json.loads((output / "summary.json").read_text())
    phases = tuple(float(summary["steps"][f"finetune-{phase}"]["seconds"]) for phase in PHASES)
    return Cost(wall, cpu, phases, summary["metrics"]["averages"]["macro_f1"]["value"])


def plain(data: Path, weights: str, recipe: Recipe, seed: int, split: Path, work: Path) -> Cost:
    """The whole plain script."""
    epochs = [str(recipe.phase(phase).epochs) for phase in PHASES]
    command = [sys.executable, str(PLAIN), "--data", str(data), "--split", str(split), "--weights", weights]
    command += ["--size", str(recipe.input_size), "--epochs", *epochs, "--seed", str(seed), "--work", str(work)]
    wall, cpu, printed = timed(command, work / "plain.log")
    result = json.loads(printed.splitlines()[-1])
    return Cost(wall, cpu, tuple(float(result["steps"][phase]["wall"]) for phase in PHASES), result["macro_f1"])


def median(costs: list[Cost], metric: Callable[[Cost], float]) -> float:
    """Median of one metric over the rounds."""
    return statistics.median(metric(cost) for cost in costs)


def main() -> None:
    """Run both sides in turn and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with HAM10000_metadata.csv and zips of images")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--size", type=int, default=96, help="pixels")
    parser.add_argument("--epochs", type=int, nargs=3, default=[1, 2, 1], metavar=("HEAD", "PARTIAL", "FULL"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--share", type=float, default=1.0, help="of the lesions")
    options = parser.parse_args()
    phases = {
        phase: PUBLISHED.phase(phase).model_copy(update={"epochs": count})
        for phase, count in zip(PHASES, options.epochs, strict=True)
    }
    recipe = PUBLISHED.model_copy(update={"input_size": options.size, **phases})
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        data = options.data if options.share == 1 else subset(options.data, work / "data", options.share)
        file = work / "recipe.json"
        file.write_text(recipe.model_dump_json())
        costs: dict[str, list[Cost]] = {"pipeline": [], "plain": []}
        for turn in range(options.rounds):
            output = work / f"run-{turn}"
            for side in ("plain", "pipeline") if turn % 2 else ("pipeline", "plain"):
                if side == "pipeline":
                    cost = ours(data, options.weights, file, options.seed, output)
                else:  # the split is the same in every round
                    cost = plain(data, options.weights, recipe, options.seed, work / "run-0", work)
                costs[side].append(cost)
    show(costs, recipe, options)


def show(costs: dict[str, list[Cost]], recipe: Recipe, options: argparse.Namespace) -> None:
    """Print the medians and their ratios."""
    epochs = "/".join(str(recipe.phase(phase).epochs) for phase in PHASES)
    print(
        f"{recipe.input_size} px, epochs {epochs}, seed {options.seed}, share {options.share}, {options.rounds} rounds"
    )
    metrics: dict[str, Callable[[Cost], float]] = {
        "whole, wall s": lambda cost: cost.wall,
        "whole, CPU s": lambda cost: cost.cpu,
        "fine-tuning, wall s": lambda cost: sum(cost.phases),
    }
    for index, phase in enumerate(PHASES):
        metrics[f"  {phase}, wall s"] = lambda cost, index=index: cost.phases[index]
    print(f"{'':22}{'pipeline':>10}{'plain':>10}{'plain / pipeline':>18}")
    for name, metric in metrics.items():
        a, b = median(costs["pipeline"], metric), median(costs["plain"], metric)
        print(f"{name:22}{a:10.1f}{b:10.1f}{b / a:18.2f}")
    scores = [f"{side} {cost.macro_f1:.3f}" for side, of_side in costs.items() for cost in of_side if cost.macro_f1]
    print(f"test macro-F1, too few epochs to mean much: {', '.join(scores)}")


if __name__ == "__main__":
    main()
