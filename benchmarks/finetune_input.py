"""What does the input cost: a fine-tune epoch, against the same compiled model's fit on a tensor in memory?

    python benchmarks/finetune_input.py [IMAGES [FOLDER]]

Both sides train the `quick` recipe's partial step (EfficientNetV2B0 from random weights, augmentation
on the device) on IMAGES images (default 2048), in turn, seven epochs a side, the first dropped; printed
are the medians of wall and CPU time and their ratios. Ours: each epoch of the finetune step, images from
Parquet shards, rows drawn by a `sqrt`-balanced table. Bound: `fit` on a random uint8 array of the same
shape. FOLDER is the images artifact of a real run; without it, random JPEGs of 200x150 are written.
Decoding happens once in a step, not in each epoch, so it has its own line. Nothing else should be
running.
"""

import hashlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from lesionflow.artifacts.images import SCHEMA, read_metadata, shard_name, write_taxonomy
from lesionflow.compat.keras_randomness import make_deterministic
from lesionflow.data.pixels import load_pixels
from lesionflow.models.classifier import build_core, set_trainable
from lesionflow.recipe import QUICK
from lesionflow.taxonomy import HAM10000
from lesionflow.training.sampling import Examples, epoch_rows

EPOCHS = 7


def write_shards(folder: Path, images: int) -> None:
    """Random JPEGs in four shards."""
    random = np.random.default_rng(0)
    shares = np.array([327, 514, 1099, 115, 1113, 6705, 142]) / 10015  # of HAM10000's classes
    rows: list[dict[str, Any]] = []
    for index in range(images):
        buffer = io.BytesIO()
        coarse = Image.fromarray(random.integers(0, 256, (15, 20, 3), np.uint8))
        coarse.resize((200, 150)).save(buffer, "JPEG", quality=95)
        rows.append(
            {
                "image": {"bytes": buffer.getvalue(), "path": f"{index}.jpg"},
                "image_id": f"{index}",
                "lesion_id": f"{index}",
                "dx": str(random.choice(HAM10000.codes, p=shares)),
                "width": 200,
                "height": 150,
                "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
            }
        )
    for shard in range(4):
        write_taxonomy(folder, HAM10000)
        pq.write_table(pa.Table.from_pylist(rows[shard::4], schema=SCHEMA), folder / shard_name(shard, 4))


def main() -> None:
    """Run the comparison and print its table."""
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 2048
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[2] if len(sys.argv) > 2 else temporary)
        if len(sys.argv) <= 2:
            write_shards(folder, images)
        table = read_metadata(folder).head(images)
        started = time.perf_counter()
        pixels = load_pixels(folder, table["image_id"].tolist(), QUICK.input_size)
        decoding = time.perf_counter() - started
    labels = np.array([HAM10000.codes.index(dx) for dx in table["dx"]], np.int32)
    draws = np.bincount(labels, minlength=len(HAM10000.codes))[labels] ** -0.5
    draws *= len(draws) / draws.sum()
    examples = Examples(pixels, labels, np.ones(len(labels), np.float32), draws)

    make_deterministic(0)
    from lesionflow.training.batches import EpochBatches, steps_per_epoch
    from lesionflow.training.network import training_model

    core = build_core(QUICK.backbone, QUICK.input_size, QUICK.dropout, len(HAM10000.codes))
    set_trainable(core, QUICK.backbone, QUICK.partial.trainable, pretrained=True)
    model = training_model(core, QUICK, QUICK.partial, steps_per_epoch(examples, QUICK))
    tensor = np.random.default_rng(1).integers(0, 256, pixels.shape, np.uint8)

    def ours(epoch: int) -> None:
        batches = EpochBatches(examples, epoch_rows(draws, 0, epoch), QUICK.batch_size)
        model.fit(batches, shuffle=False, verbose=0)  # pyright: ignore[reportArgumentType]

    def bound(_: int) -> None:
        model.fit(tensor, labels, batch_size=QUICK.batch_size, verbose=0)  # pyright: ignore[reportArgumentType]

    sides: dict[str, Callable[[int], None]] = {"fine-tune epoch": ours, "tensor in memory": bound}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for epoch in range(EPOCHS):
        for name, side in sides.items():
            wall, cpu = time.perf_counter(), time.process_time()
            side(epoch)
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    medians = {
        name: [statistics.median(column) for column in zip(*rows[1:], strict=True)] for name, rows in times.items()
    }
    print(f"{len(labels)} images of {QUICK.input_size} px, batches of {QUICK.batch_size}, {EPOCHS - 1} epochs a side")
    print(f"decoding, once in a step: {decoding:.1f} s, {len(labels) / decoding:.0f} images/s")
    print(f"{'':18}{'wall, s':>10}{'CPU, s':>10}")
    for name, (wall, cpu) in medians.items():
        print(f"{name:18}{wall:10.1f}{cpu:10.1f}")
    ratios = [a / b for a, b in zip(*medians.values(), strict=True)]
    print(f"{'ratio':18}{ratios[0]:10.3f}{ratios[1]:10.3f}")


if __name__ == "__main__":
    main()
