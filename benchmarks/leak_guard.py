"""How well does the duplicates step find images of one thing, and how long does it take?

    python benchmarks/leak_guard.py --data FOLDER [--sheet FILE] [--pairs FILE] [--rejected FILE] [--copies 100]

FOLDER is what `lesionflow run --data` takes. Beside its images the search gets changed copies of some of
them, each under a lesion id of its own: turned, zoomed, mirrored and so on, and saved as JPEG again. One
search, which is told nothing of lesion ids, then answers for three kinds of pairs:

- the same lesion photographed again: pairs of images that share a lesion id. The share found is the recall.
- the same photograph, changed: an image and its copy. The share found is the recall for that change.
- different lesion ids, all pairs of them: what is found there is either a lesion under two ids or a false
  alarm, and only eyes can tell which. --sheet keeps the page that shows them (the copies among them), and
  --rejected names a CSV (image_id_1, image_id_2) of those that a person judged to be different; the share
  of the others is the precision. HAM10000 holds no mirrored copies, so mirrored pairs are false alarms, too.

The time is that of the whole step. When the machine does other things, go by the CPU seconds.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from joblib import cpu_count
from numpy.typing import NDArray

from lesionflow.artifacts.images import SCHEMA, read_images, read_metadata, shard_name
from lesionflow.components.duplicates.duplicates import find_duplicates
from lesionflow.components.ingest.ingest import ingest
from lesionflow.data.image_reader import read_image

Pixels = NDArray[np.uint8]
Change = Callable[[Pixels, np.random.Generator], Pixels]


def turn(pixels: Pixels, angle: float, zoom: float, shift: tuple[float, float] = (0, 0)) -> Pixels:
    """Turn by degrees, zoom and shift by pixels; what comes from outside the image is gray."""
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, zoom)
    matrix[:, 2] += shift
    return np.asarray(cv2.warpAffine(pixels, matrix, (width, height), borderValue=(128, 128, 128)), np.uint8)


def recolour(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Other lamp, other camera: each channel times 0.7 to 1.1, with a gamma of 0.8 to 1.25."""
    values = (pixels / 255.0) ** random.uniform(0.8, 1.25) * random.uniform(0.7, 1.1, 3)
    return (np.clip(values, 0, 1) * 255).astype(np.uint8)


def photograph_anew(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """All at once, as in a second photograph: turned, zoomed, shifted, other colours, a little out of focus."""
    shift = (random.uniform(-20, 20), random.uniform(-15, 15))
    moved = turn(pixels, random.uniform(-180, 180), random.uniform(0.7, 1.5), shift)
    return np.asarray(cv2.GaussianBlur(recolour(moved, random), (0, 0), 0.8), np.uint8)


CHANGES: dict[str, Change] = {
    "JPEG of quality 50": lambda pixels, random: pixels,
    "turned by any angle": lambda pixels, random: turn(pixels, random.uniform(-180, 180), 1),
    "zoomed in, 1.3 to 2": lambda pixels, random: turn(pixels, 0, random.uniform(1.3, 2)),
    "zoomed out, 0.5 to 0.8": lambda pixels, random: turn(pixels, 0, random.uniform(0.5, 0.8)),
    "mirrored, turned": lambda pixels, random: turn(np.flip(pixels, 1).copy(), random.uniform(-180, 180), 1),
    "other colours": recolour,
    "all but mirrored": photograph_anew,
}


def add_copies(images: Path, count: int) -> dict[str, tuple[str, str]]:
    """Add `count` copies of each change to the artifact, as one more shard; return copy -> change, original."""
    random = np.random.default_rng(0)
    metadata = read_metadata(images).drop_duplicates("lesion_id")
    chosen = metadata.sample(count, random_state=0)["image_id"]
    kept: dict[str, tuple[str, str]] = {}
    rows: list[dict[str, object]] = []
    for image_id, encoded in read_images(images, set(chosen)):
        with read_image(encoded) as read:
            pixels = np.ascontiguousarray(np.asarray(read.image)[..., ::-1])  # blue first, as OpenCV has it
        for number, (change, apply) in enumerate(CHANGES.items()):
            copy = f"{image_id}_copy{number}"
            _, saved = cv2.imencode(".jpg", apply(pixels, random), [cv2.IMWRITE_JPEG_QUALITY, 85 if number else 50])
            kept[copy] = change, image_id
            rows.append(
                {
                    "image": {"bytes": saved.tobytes(), "path": f"{copy}.jpg"},
                    "image_id": copy,
                    "lesion_id": copy,
                    "dx": "nv",
                    "width": pixels.shape[1],
                    "height": pixels.shape[0],
                    "sha256": copy,
                }
            )
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), images / shard_name(99999, 99999))
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--copies", type=int, default=100, help="of each change")
    parser.add_argument("--sheet", type=Path, help="where to keep the picture sheet")
    parser.add_argument("--pairs", type=Path, help="where to keep the table of pairs")
    parser.add_argument("--rejected", type=Path, help="pairs that a person judged to be different")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        images = folder / "images"
        ingest(options.data, "benchmark", str(images), str(folder / "quarantine"), str(folder / "card.html"))
        copies = add_copies(images, options.copies)
        pairs, sheet = options.pairs or folder / "pairs.csv", options.sheet or folder / "sheet.html"
        started, used = time.perf_counter(), sum(os.times()[:2])
        metrics = find_duplicates(images, pairs, sheet)
        seconds, cpu = time.perf_counter() - started, sum(os.times()[:2]) - used
        table = pd.read_csv(pairs)
        load = os.getloadavg()[1]
    print(f"{metrics['images']:,} images: {seconds:.0f} s, {cpu:.0f} CPU s; {cpu_count()} cores, load {load:.1f}")
    found, total = metrics["same_lesion_pairs_found"], metrics["same_lesion_pairs"]
    print(f"\n{'pairs':34} {'found':>6} {'of':>6} {'recall':>7}")
    print(f"{'same lesion, photographed again':34} {found:6} {total:6} {found / total:7.1%}")
    both = {frozenset(pair) for pair in zip(table["image_id_1"], table["image_id_2"], strict=True)}
    for change in CHANGES:
        made = [(copy, original) for copy, (kind, original) in copies.items() if kind == change]
        found = sum(frozenset(pair) in both for pair in made)
        print(f"{'copy: ' + change:34} {found:6} {len(made):6} {found / len(made):7.1%}")
    real = table[~table["image_id_1"].isin(list(copies)) & ~table["image_id_2"].isin(list(copies))]
    disagree = (real["dx_1"] != real["dx_2"]).sum()
    print(f"\n{len(real)} pairs of the data under different lesion ids ({disagree} with different labels, ", end="")
    print(f"{real['mirrored'].sum()} mirrored)")
    if options.rejected:
        listed = pd.read_csv(options.rejected)
        wrong = {frozenset(pair) for pair in zip(listed["image_id_1"], listed["image_id_2"], strict=True)}
        false = sum(frozenset(pair) in wrong for pair in zip(real["image_id_1"], real["image_id_2"], strict=True))
        print(f"{false} of them were judged to be different: precision {1 - false / len(real):.1%}")


if __name__ == "__main__":
    main()
