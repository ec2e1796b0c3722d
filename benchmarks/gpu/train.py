"""Train recipes fold by fold on one GPU, several at a time; what is finished when time is up is kept.

usage: python benchmarks/gpu/train.py KIT OUT [--seconds 550] [--together 5] [--recipes best,published] [--smoke]

KIT holds images/, the tables and the weights of `pack.py`; the project's root is on PYTHONPATH. Predictions for the
fold's validation and test images are written after each step that trains the backbone.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recipes import recipe

Job = tuple[str, int]


def train_fold(kit: Path, out: Path, job: Job, weights: str, smoke: bool) -> None:
    """One training in three steps."""
    from lesionflow.components.finetune.finetune import finetune

    name, fold = job
    chosen, began, start = recipe(name, smoke), time.time(), None
    for phase in ("head", "partial", "full"):
        model = str(out / "models" / f"{name}-{fold}-{phase}")
        metrics = finetune(
            str(kit / "images"),
            str(kit / f"train-{fold}-{chosen.balance}.parquet"),
            str(kit / f"validation-{fold}.parquet"),
            model,
            phase,
            chosen.model_dump_json(),
            weights,
            seed=fold,
            start=start,
        )
        print(
            json.dumps({"fold": fold, "phase": phase, "so_far_s": round(time.time() - began, 1), **asdict(metrics)}),
            flush=True,
        )
        start = model
        if phase != "head":
            write_predictions(kit, out / f"{name}-{fold}-{phase}", fold, model)


def write_predictions(kit: Path, stem: Path, fold: int, model: str) -> None:
    """Probabilities for the fold's validation and test images, as STEM-validation.csv.gz and STEM-test.csv.gz."""
    import numpy as np
    import pandas as pd

    from lesionflow.data.pixels import load_pixels
    from lesionflow.models.loaded_model import load_model

    loaded = load_model(model)
    for side in ("validation", "test"):
        table = pd.read_parquet(kit / f"{side}-{fold}.parquet")[["image_id", "lesion_id", "dx"]]
        pixels = load_pixels(str(kit / "images"), table["image_id"].tolist(), loaded.decode_size)
        table[list(loaded.labels)] = loaded.predict(np.asarray(pixels[: len(table)]), 128)
        table.to_csv(f"{stem}-{side}.csv.gz", index=False, float_format="%.6f")


def start_job(job: Job, out: Path) -> "subprocess.Popen[bytes]":
    """This program again, for one fold; memory of the GPU on demand, one compilation cache for all."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "JAX_COMPILATION_CACHE_DIR": str(out / "jax-cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1",
    }
    command = [sys.executable, *sys.argv, "--job", job[0], str(job[1])]
    log = (out / f"{job[0]}-{job[1]}.log").open("wb")
    return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)


def train_all(arguments: Any) -> None:
    """Start folds as there is room, until all are done or time is up."""
    began = time.time()
    waiting: list[Job] = [(name, fold) for name in arguments.recipes.split(",") for fold in range(arguments.folds)]
    running: dict[Job, tuple[subprocess.Popen[bytes], float]] = {}
    while (waiting or running) and time.time() - began < arguments.seconds:
        while waiting and len(running) < arguments.together:
            job = waiting.pop(0)
            running[job] = start_job(job, arguments.out), time.time()
        time.sleep(0.5)
        for job, (process, since) in list(running.items()):
            if process.poll() is not None:
                ended = "ended" if process.returncode == 0 else f"FAILED with {process.returncode}"
                print(*job, ended, f"{time.time() - since:.0f} s", flush=True)
                del running[job]
    for process, _ in running.values():
        process.kill()
    if running or waiting:
        print("time is up; not done:", [*running, *waiting], flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kit", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=550)
    parser.add_argument("--together", type=int, default=5)
    parser.add_argument("--recipes", default="best")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--smoke", action="store_true", help="tiny and from random weights, for a dry run on a CPU")
    parser.add_argument("--job", nargs=2, help="of this program's own")
    arguments = parser.parse_args()
    if not arguments.job:
        arguments.out.mkdir(parents=True, exist_ok=True)
        train_all(arguments)
        return
    weights = "none" if arguments.smoke else str(next(arguments.kit.glob("*.weights.h5")))
    name, fold = arguments.job
    train_fold(arguments.kit, arguments.out, (name, int(fold)), weights, arguments.smoke)


if __name__ == "__main__":
    main()
