"""How fast is ingest, against a plain single-process Pillow loop over the same files?

    python benchmarks/ingest_speed.py [IMAGES]

Synthesises images of HAM10000's original size (600x450, about 280 KB) in two zips, then times both
sides in turn, three rounds, and prints the ratio of their medians. The plain loop opens each image
from its zip, decodes it, resizes its shorter side to 256 pixels and saves it as JPEG of quality 95.
Ingest does that too, and checks, hashes and tabulates. The plain loop runs with Pillow's default
filter, and once more with the filter that ingest uses. Nothing else should be running; the CPU
column (of all processes) shows what each side costs even when something is.
"""

import csv
import io
import os
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from joblib import cpu_count
from PIL import Image

from lesionflow.components.ingest.ingest import ingest
from lesionflow.taxonomy import HAM10000

ROUNDS = 3
SIZE = (600, 450)


def synthesise(folder: Path, images: int) -> int:
    """Write `images` images in the Dataverse layout; return their mean size in bytes."""
    random = np.random.default_rng(0)
    width, height = SIZE
    y, x = np.mgrid[0:height, 0:width]
    noise = [random.normal(0, 11, (height, width, 3)) + random.normal(0, 5, (height, width, 1)) for _ in range(8)]
    total = 0
    with (folder / "HAM10000_metadata.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"])
        for part in (1, 2):
            with zipfile.ZipFile(folder / f"HAM10000_images_part_{part}.zip", "w") as archive:
                for index in range(part - 1, images, 2):
                    image_id = f"ISIC_{index:07d}"
                    radius = np.hypot((x - 300) / random.uniform(90, 200), (y - 225) / random.uniform(70, 160))
                    skin, lesion = random.uniform(150, 230, 3), random.uniform(40, 130, 3)
                    pixels = skin + (lesion - skin) / (1 + np.exp(12 * (radius - 1)))[..., None]
                    pixels += np.roll(noise[index % 8], index * 37, axis=1)
                    encoded = io.BytesIO()
                    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
                    image.save(encoded, "JPEG", quality=95, subsampling=0)
                    total += encoded.tell()
                    archive.writestr(f"{image_id}.jpg", encoded.getvalue())
                    rows.writerow(
                        [f"HAM_{index:07d}", image_id, HAM10000.codes[index % 7], "histo", 50, "male", "back"]
                    )
    return total // images


def plain_loop(source: Path, target: Path, resample: Image.Resampling | None = None) -> None:
    """What one would write without lesionflow."""
    target.mkdir()
    for path in sorted(source.glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as file, Image.open(file) as image:  # noqa: TID251
                    width, height = image.size
                    scale = 256 / min(width, height)
                    small = image.resize((round(width * scale), round(height * scale)), resample)
                    small.save(target / name, quality=95)


def run_ingest(source: Path, target: Path) -> None:
    """The step's own logic."""
    ingest(str(source), "benchmark", str(target / "images"), str(target / "quarantine"), str(target / "card.html"))


def main() -> None:
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 1200
    sides: dict[str, Callable[[Path, Path], None]] = {
        "ingest": run_ingest,
        "plain loop": plain_loop,
        "plain loop, ingest's filter": lambda source, target: plain_loop(source, target, Image.Resampling.HAMMING),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    cpu: dict[str, list[float]] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "source")
        source.mkdir()
        size = synthesise(source, images)
        print(f"{images} images of {SIZE[0]}x{SIZE[1]}, {size / 1024:.0f} KB on average, {cpu_count()} cores")
        for turn in range(ROUNDS):
            for name, side in sides.items():
                started, used = time.perf_counter(), sum(os.times()[:4])
                side(source, Path(scratch, f"{name}-{turn}"))
                seconds[name].append(time.perf_counter() - started)
                cpu[name].append(sum(os.times()[:4]) - used)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    print(f"{'median of ' + str(ROUNDS):28} {'wall s':>7} {'CPU s':>7} {'images/s':>9} {'ratio':>6}")
    for name, median in medians.items():
        used = statistics.median(cpu[name])
        print(f"{name:28} {median:7.2f} {used:7.2f} {images / median:9.0f} {median / medians['ingest']:6.2f}")
    print(f"ingest is {medians['plain loop'] / medians['ingest']:.2f} times as fast as a plain single-process loop")


if __name__ == "__main__":
    main()
