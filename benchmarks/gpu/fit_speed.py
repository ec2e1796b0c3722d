"""The product's whole fit on random pixels: gather, CutMix, transfer, augmentation, step, average, validation.

usage: python benchmarks/gpu/fit_speed.py [SIZE,BATCH ...]        the project's root on PYTHONPATH
Prints images/s of the second epoch, and of the feeding (gather and CutMix) by itself.
"""

import os
import sys
import time

import numpy as np
from recipes import recipe

from lesionflow.compat.keras_backend import prepare
from lesionflow.compat.keras_randomness import make_deterministic
from lesionflow.recipe import Phase, PhaseName, Recipe
from lesionflow.training.device_plan import training_devices

SHAPES = [tuple(map(int, text.split(","))) for text in sys.argv[1:]] or [(192, 32)]
IMAGES = int(os.environ.get("FIT_IMAGES", "6400"))
FED = 40
"""Batches that are gathered to time the feeding."""


def measure(chosen: Recipe) -> str:
    """Train two epochs of the partial step."""
    from lesionflow.models.classifier import build_core, set_trainable
    from lesionflow.training.batches import EpochBatches, steps_per_epoch
    from lesionflow.training.epochs import train
    from lesionflow.training.mixing import Mixing
    from lesionflow.training.network import training_model
    from lesionflow.training.sampling import Examples

    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (IMAGES, chosen.decode_size, chosen.decode_size, 3), np.uint8)
    labels, ones = random.integers(0, 7, IMAGES).astype(np.int32), np.ones(IMAGES)
    examples = Examples(pixels, labels=labels, weight=ones.astype(np.float32), sampling_weights=ones)
    few = slice(IMAGES // 10)
    judged = Examples(pixels[few], labels=labels[few], weight=examples.weight[few], sampling_weights=ones[few])
    batches = EpochBatches(examples, random.permutation(IMAGES), chosen.batch_size, Mixing("cutmix", 1, 0, 0, 7))
    began, count = time.perf_counter(), min(FED, len(batches))
    for index in range(count):
        batches[index]
    fed = count * chosen.batch_size / (time.perf_counter() - began)
    with training_devices(chosen.batch_size) as devices:
        core = build_core(chosen.backbone, chosen.input_size, chosen.dropout, 7)
        set_trainable(core, chosen.backbone, chosen.partial.trainable, pretrained=True)
        model = training_model(core, chosen, chosen.partial, steps_per_epoch(examples, chosen))
        state = train(model, examples, judged, chosen, PhaseName.PARTIAL, 1, None, lambda _: None)
    first, second = (row["seconds"] for row in state.history)
    return f"{IMAGES / second:,.0f} images/s (first epoch {first:.1f} s), feeding {fed:,.0f} images/s; {devices.text}"


def main() -> None:
    """Measure each shape."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    prepare()
    make_deterministic(0)
    partial = Phase(epochs=2, learning_rate=1e-3, trainable=0.75)
    for size, batch in SHAPES:
        found = measure(recipe("best", input_size=size, batch_size=batch, partial=partial))
        print(f"product fit {size} px batch {batch}: {found}", flush=True)


if __name__ == "__main__":
    main()
