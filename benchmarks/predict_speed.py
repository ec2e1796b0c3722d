"""How fast is `lesionflow predict`, against a plain loop over `model.predict` per image?

    python benchmarks/predict_speed.py --model FOLDER --data FOLDER [--images 2000]

Takes the first images below the data folder (loose or in zips), writes them as files into a scratch folder, and lets
both sides classify them, one after the other. The plain loop loads the model once, decodes one image at a time as
lesionflow does, calls `model.predict` and keeps the answer; lesionflow predict is the command as a user types it, its
start and the writing of its table included. Both must give the same classes, and the same probabilities to 1e-4.
Nothing else should be running; the CPU column shows what each side costs even when something is.
"""

import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from joblib import cpu_count

from lesionflow.artifacts.model_folder import read_calibration
from lesionflow.data.pixels import decode
from lesionflow.data.source import open_source, read
from lesionflow.metrics.calibration import scale
from lesionflow.models.loaded_model import load_model

TOLERANCE = 1e-4


def plain_loop(model: Path, files: list[Path]) -> np.ndarray:
    """Probabilities, shape (n, 7), one call of `model.predict` per image."""
    loaded = load_model(model)
    answers = [loaded.model.predict(decode(f.read_bytes(), loaded.decode_size)[None], verbose=0) for f in files]
    return scale(np.concatenate(answers), read_calibration(model).temperature)


def command(model: Path, folder: Path, output: Path) -> tuple[np.ndarray, list[str]]:
    """Probabilities and ids, from the table that `lesionflow predict` writes."""
    lesionflow = Path(sys.executable).with_name("lesionflow")
    subprocess.run(
        [lesionflow, "predict", "--model", model, "--output", output, folder], check=True, stdout=subprocess.DEVNULL
    )
    with output.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    return np.array([row[1:8] for row in rows], np.float64), [row[0] for row in rows]


def main(
    model: Annotated[Path, typer.Option(help="Model folder.")],
    data: Annotated[Path, typer.Option(help="Folder of images or zips.")],
    images: Annotated[int, typer.Option(help="How many.")] = 2000,
) -> None:
    """Time both sides and print the ratio."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "images")
        folder.mkdir()
        source = open_source(str(data))
        for entry in source.images[:images]:
            (folder / Path(entry.name).name).write_bytes(read(source, entry))
        files = sorted(folder.iterdir())
        print(f"{len(files)} images, {cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
        seconds: dict[str, float] = {}
        cpu: dict[str, float] = {}

        started, used = time.perf_counter(), sum(os.times()[:4])
        probabilities, ids = command(model, folder, Path(scratch, "predictions.csv"))
        seconds["lesionflow predict"] = time.perf_counter() - started
        cpu["lesionflow predict"] = sum(os.times()[:4]) - used
        started, used = time.perf_counter(), sum(os.times()[:4])
        expected = plain_loop(model, files)
        seconds["plain loop"] = time.perf_counter() - started
        cpu["plain loop"] = sum(os.times()[:4]) - used

    assert ids == [file.stem for file in files]
    difference = float(np.abs(probabilities - expected).max())
    assert difference < TOLERANCE, f"probabilities differ by {difference:.2g}"
    # Two classes within the tolerance of each other may change places.
    best, second = np.sort(expected, axis=1)[:, [-1, -2]].T
    same = (probabilities.argmax(axis=1) == expected.argmax(axis=1)) | (best - second < 2 * TOLERANCE)
    assert same.all(), f"{(~same).sum()} classes differ"
    print(f"{'':20} {'wall s':>8} {'CPU s':>8} {'images/s':>9}")
    for name in seconds:
        print(f"{name:20} {seconds[name]:8.1f} {cpu[name]:8.1f} {len(files) / seconds[name]:9.1f}")
    print(f"largest difference of a probability: {difference:.1g}; same classes")
    wall, work = (side["plain loop"] / side["lesionflow predict"] for side in (seconds, cpu))
    print(f"lesionflow predict is {wall:.1f} times as fast as a plain loop ({work:.1f} times less CPU)")


if __name__ == "__main__":
    typer.run(main)
