"""What share of the in-memory bound does training reach, with TensorFlow and with JAX, on this CPU?

    python benchmarks/throughput.py [IMAGES [EPOCHS]]

Each backend trains in a process of its own: the `quick` recipe's partial step (EfficientNetV2B0 at 96 px, random
weights) on IMAGES images (default 512), EPOCHS epochs a side in turn (default 4), the first dropped; printed are
medians. Step: what the finetune step does in an epoch, which is to draw rows, gather batches, augment, train.
Bound: the same core trained by `fit` on one fixed array in memory, without gathering and augmentation.
Unfolded: the step with the core as Keras builds it; see `folded`, which on JAX changes the depthwise convolutions too.
On TensorFlow all in shards of a batch (`core_shards`); once more without oneDNN, which TensorFlow by itself leaves off
on CPUs without AVX-512; and once more in whole batches, all cores at each operation.
The CPU seconds are the metrics to trust on a machine that is not idle; its load is printed.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from lesionflow.compat.keras_backend import compile_with_xla, prepare
from lesionflow.compat.keras_randomness import make_deterministic
from lesionflow.compat.tensorflow_graph import untuned
from lesionflow.models.acceleration import accelerate
from lesionflow.models.acceleration.folding import folded
from lesionflow.models.acceleration.program import compiled_core, core_shards
from lesionflow.models.classifier import build_core, set_trainable
from lesionflow.recipe import QUICK
from lesionflow.training.sampling import Examples, epoch_rows

Times = dict[str, list[float]]
"""Wall and CPU seconds per image of each side."""


def measure(images: int, epochs: int, shards: int) -> Times:
    """Train both sides in turn with this process's backend."""
    prepare(shards)
    make_deterministic(0)
    import keras

    from lesionflow.training.batches import EpochBatches, steps_per_epoch
    from lesionflow.training.network import training_model

    def fixed_shards(batch_size: int) -> int:
        return shards

    accelerate.core_shards = fixed_shards  # pyright: ignore[reportPrivateImportUsage]

    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (images, QUICK.input_size, QUICK.input_size, 3), np.uint8)
    labels = random.integers(0, 7, images).astype(np.int32)
    examples = Examples(pixels, labels, np.ones(images, np.float32), np.ones(images))
    core = build_core(QUICK.backbone, QUICK.input_size, QUICK.dropout, 7)
    set_trainable(core, QUICK.backbone, QUICK.partial.trainable, pretrained=True)
    steps = steps_per_epoch(examples, QUICK)
    model = training_model(core, QUICK, QUICK.partial, steps)

    def another_core() -> keras.Model:
        copy: Any = keras.models.clone_model(core)
        set_trainable(copy, QUICK.backbone, QUICK.partial.trainable, pretrained=True)
        return copy

    def as_it_is(core: keras.Model) -> keras.Model:
        return core

    accelerate.folded = as_it_is  # pyright: ignore[reportPrivateImportUsage]
    unfolded = training_model(another_core(), QUICK, QUICK.partial, steps)
    bare_core = another_core()
    inputs = keras.Input(core.input_shape[1:])
    bare = keras.Model(inputs, compiled_core(folded(bare_core), shards)(inputs))
    bare.compile(
        optimizer=keras.optimizers.Adam(QUICK.partial.learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=compile_with_xla(),  # pyright: ignore[reportArgumentType]
    )

    def train(trained: keras.Model, epoch: int) -> None:
        batches = EpochBatches(examples, epoch_rows(examples.sampling_weights, 0, epoch), QUICK.batch_size)
        trained.fit(untuned(batches), shuffle=False, verbose=0)  # pyright: ignore[reportArgumentType]

    class Gathered(keras.utils.PyDataset):
        def __len__(self) -> int:
            return -(-images // QUICK.batch_size)

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            rows = slice(index * QUICK.batch_size, (index + 1) * QUICK.batch_size)
            return pixels[rows], labels[rows]

    def bound(_: int) -> None:
        bare.fit(untuned(Gathered()), shuffle=False, verbose=0)  # pyright: ignore[reportArgumentType]

    sides: dict[str, Callable[[int], None]] = {
        "step": partial(train, model),
        "bound": bound,
        "unfolded": partial(train, unfolded),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for epoch in range(epochs):
        for name, side in sides.items():
            wall, cpu = time.perf_counter(), time.process_time()
            side(epoch)
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: [statistics.median(column) / images for column in zip(*rows[1:], strict=True)]
        for name, rows in times.items()
    }


def ratio(first: list[float], second: list[float]) -> str:
    """The two columns of a row of ratios."""
    (wall, cpu), (other_wall, other_cpu) = first, second
    return f"{wall / other_wall:10.3f}{cpu / other_cpu:15.3f}"


def main() -> None:
    """Run both backends and print their table."""
    if sys.argv[1:2] == ["--measure"]:  # the child's side
        print(json.dumps(measure(*map(int, sys.argv[2:]))))
        return
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 512
    epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    print(f"{images} images of {QUICK.input_size} px, batches of {QUICK.batch_size}, {epochs - 1} epochs a side")
    print(f"{'':26}{'':9}{'images/s':>10}{'CPU ms/image':>15}")
    rows = {
        "TensorFlow": ("tensorflow", core_shards(QUICK.batch_size), "1"),
        "TensorFlow, no oneDNN": ("tensorflow", core_shards(QUICK.batch_size), "0"),
        "TensorFlow, whole batches": ("tensorflow", 1, "1"),
        "JAX": ("jax", 1, "1"),
    }
    steps: dict[str, list[float]] = {}
    for name, (backend, shards, onednn) in rows.items():
        command = [sys.executable, __file__, "--measure", str(images), str(epochs), str(shards)]
        environment = {**os.environ, "KERAS_BACKEND": backend, "TF_ENABLE_ONEDNN_OPTS": onednn}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        times: Times = json.loads(done.stdout.splitlines()[-1])
        for side, (wall, cpu) in times.items():
            print(f"{name:26}{side:9}{1 / wall:10.1f}{1000 * cpu:15.2f}", flush=True)
        steps[name] = times["step"]
        print(f"{name:26}{'share':9}{ratio(times['bound'], times['step'])}   of the bound", flush=True)
        print(f"{name:26}{'folding':9}{ratio(times['unfolded'], times['step'])}   times as fast", flush=True)
    for name in [*steps][1:3]:
        print(f"{name + ' / TensorFlow':35}{ratio(steps[name], steps['TensorFlow'])}", flush=True)
    print(f"load average: {', '.join(f'{load:.1f}' for load in os.getloadavg())} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
