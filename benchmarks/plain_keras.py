"""The published method as a plain Keras script: what one would write without lesionflow.

    python benchmarks/plain_keras.py --data FOLDER --split RUN [--weights FILE] [--size 96] [--epochs 5 25 5] [--seed 0]

EfficientNetV2B0 on ImageNet weights; rotation, horizontal flip and zoom as Keras layers in the model; every
class drawn equally often; head, last three quarters, everything, BatchNorm frozen; Adam at 1e-3, 1e-4, 1e-5;
batches of 32; in each step the epoch with the best validation macro-F1 is kept. Images lie unpacked in class
folders and are decoded anew in every epoch, as `keras.utils.image_dataset_from_directory` does it, in
parallel and ahead of the training. This file is the other side of a comparison, so it may use tf.data.

FOLDER holds the images, loose or in zips. RUN is the output of a finished `lesionflow run`, or any folder
with the tables `train`, `validation` and `test` that the split step wrote: the same images on each side.
From lesionflow it takes those tables, the names of the classes and the arithmetic of the final metrics.

What it shares with the `published` recipe, so that the comparison is of the machinery: batch size, strengths of
the augmentation, optimizer, learning rates, length of an epoch (as many draws as there are training images),
and no XLA on CPU, where Keras' default would make a training step several times slower. What differs is
what an ordinary script would do: the rows are drawn with replacement, images are resized without
antialiasing, and "the last three quarters" cuts through a block.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lesionflow.metrics.classification import classification_metrics, intervals
from lesionflow.taxonomy import HAM10000

BATCH = 32
LEARNING_RATES = {"head": 1e-3, "partial": 1e-4, "full": 1e-5}


def read_split(split: Path) -> dict[str, pd.DataFrame]:
    """The three tables, each with `image_id`, `lesion_id` and `dx`."""
    summary = split / "summary.json"
    found = json.loads(summary.read_text())["artifacts"] if summary.is_file() else {}
    return {fold: pd.read_parquet(found.get(fold, split / fold)) for fold in ("train", "validation", "test")}


def unpack(data: Path, tables: dict[str, pd.DataFrame], work: Path) -> None:
    """Write each image to <work>/<fold>/<class>/<image_id>.jpg."""
    places = {
        str(row.image_id): work / fold / str(row.dx) / f"{row.image_id}.jpg"
        for fold, table in tables.items()
        for row in table.itertuples()
    }
    for place in {path.parent for path in places.values()}:
        place.mkdir(parents=True, exist_ok=True)
    missing = {str(image_id) for image_id in places}
    for file in sorted(data.rglob("*")):
        if file.suffix.lower() in (".jpg", ".jpeg") and file.stem in missing:
            shutil.copyfile(file, places[file.stem])
            missing.discard(file.stem)
        elif file.suffix.lower() == ".zip":
            with zipfile.ZipFile(file) as archive:
                for name in archive.namelist():
                    if Path(name).suffix.lower() in (".jpg", ".jpeg") and Path(name).stem in missing:
                        places[Path(name).stem].write_bytes(archive.read(name))
                        missing.discard(Path(name).stem)
    if missing:
        raise SystemExit(f"{len(missing)} images of the split are not in {data} (the first: {min(missing)}).")


def training_images(folder: Path, size: int, seed: int) -> Any:
    """An endless stream of batches in which every class is drawn equally often."""
    import tensorflow as tf

    def load(path: Any, label: Any) -> tuple[Any, Any]:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        return tf.image.resize(image, (size, size)), tf.one_hot(label, len(HAM10000.codes))

    classes: list[Any] = []
    for index, label in enumerate(HAM10000.codes):
        paths = sorted(str(path) for path in (folder / label).iterdir())
        of_class = tf.data.Dataset.from_tensor_slices((paths, [index] * len(paths)))
        classes.append(of_class.shuffle(len(paths), seed=seed + index).repeat())
    drawn = tf.data.Dataset.sample_from_datasets(classes, [1 / len(classes)] * len(classes), seed=seed)
    return drawn.map(load, tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)


def fixed_images(folder: Path, size: int) -> Any:
    """The images of a fold in the order of their files."""
    import keras

    return keras.utils.image_dataset_from_directory(
        folder,
        label_mode="categorical",
        class_names=list(HAM10000.codes),
        image_size=(size, size),
        batch_size=64,
        shuffle=False,
        verbose=False,
    )


def build(size: int, weights: str) -> tuple[Any, Any]:
    """The backbone, and the model around it."""
    import keras
    from keras import layers

    backbone: Any = keras.applications.EfficientNetV2B0(
        include_top=False,
        weights="imagenet" if weights == "imagenet" else None,  # pyright: ignore[reportArgumentType]
        input_shape=(size, size, 3),
        pooling="avg",
    )
    if weights != "imagenet":
        backbone.load_weights(weights)
    inputs = keras.Input((size, size, 3))
    x: Any = layers.RandomRotation(0.1)(inputs)  # of a full turn: 36 degrees
    x = layers.RandomFlip("horizontal")(x)
    x = layers.RandomZoom(0.1)(x)
    x = layers.Dropout(0.2)(backbone(x))
    return backbone, keras.Model(inputs, layers.Dense(len(HAM10000.codes), activation="softmax")(x))


def choose_layers(backbone: Any, phase: str) -> None:
    """Which layers of the backbone train."""
    import keras

    first = {"head": len(backbone.layers), "partial": len(backbone.layers) // 4, "full": 0}[phase]
    for index, layer in enumerate(backbone.layers):
        layer.trainable = index >= first and not isinstance(layer, keras.layers.BatchNormalization)


def train(model: Any, backbone: Any, images: Any, validation: Any, steps: int, epochs: list[int], work: Path) -> Any:
    """The three steps; seconds and CPU-seconds of each."""
    import keras
    import tensorflow as tf

    spent: dict[str, dict[str, float]] = {}
    for phase, count in zip(LEARNING_RATES, epochs, strict=True):
        wall, cpu = time.perf_counter(), time.process_time()
        choose_layers(backbone, phase)
        model.compile(
            optimizer=keras.optimizers.Adam(LEARNING_RATES[phase]),
            loss="categorical_crossentropy",
            metrics=[keras.metrics.F1Score(average="macro", name="macro_f1")],
            jit_compile="auto" if tf.config.list_physical_devices("GPU") else False,
        )
        best = work / f"{phase}.weights.h5"
        keep = keras.callbacks.ModelCheckpoint(
            str(best), monitor="val_macro_f1", mode="max", save_best_only=True, save_weights_only=True
        )
        fitted = model.fit(
            images,
            steps_per_epoch=steps,
            epochs=count,
            validation_data=validation,
            callbacks=[keep],
            verbose=2,
        )
        model.load_weights(best)
        spent[phase] = {
            "wall": time.perf_counter() - wall,
            "cpu": time.process_time() - cpu,
            "val_macro_f1": float(max(fitted.history["val_macro_f1"])),
        }
        print(f"{phase}: {count} epochs, {spent[phase]['wall']:.1f} s, CPU {spent[phase]['cpu']:.1f} s", flush=True)
    return spent


def judge(model: Any, images: Any, table: pd.DataFrame, seed: int) -> dict[str, Any]:
    """Macro-F1 over the test images with its interval over lesions."""
    ids = [Path(path).stem for path in images.file_paths]
    rows = table.set_index("image_id").loc[ids]
    labels = np.array([HAM10000.codes.index(dx) for dx in rows["dx"]])
    probabilities = model.predict(images, verbose=0)
    macro_f1 = classification_metrics(labels, probabilities, classes=HAM10000.codes).macro_f1.value
    limits = intervals(labels, probabilities, rows["lesion_id"].tolist(), seed, classes=HAM10000.codes)
    return {"macro_f1": macro_f1, "interval": limits.get("macro_f1"), "images": len(rows)}


def main() -> None:
    """Unpack, train, judge, print; the last line is JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the images, loose or in zips")
    parser.add_argument("--split", type=Path, required=True, help="output of a run, or folder with the three tables")
    parser.add_argument("--weights", default="imagenet", help="imagenet, or a .weights.h5 file without top")
    parser.add_argument("--size", type=int, default=96, help="pixels")
    parser.add_argument("--epochs", type=int, nargs=3, default=[5, 25, 5], metavar=("HEAD", "PARTIAL", "FULL"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="where images are unpacked; a temporary folder if not given")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    started = time.perf_counter()
    import keras

    tables = read_split(options.split)
    with tempfile.TemporaryDirectory(dir=options.work) as temporary:
        work = Path(temporary)
        unpack(options.data, tables, work)
        unpacked = time.perf_counter() - started
        print(
            f"unpacked in {unpacked:.1f} s: {', '.join(f'{len(t)} {fold}' for fold, t in tables.items())}", flush=True
        )
        keras.utils.set_random_seed(options.seed)
        backbone, model = build(options.size, options.weights)
        images = training_images(work / "train", options.size, options.seed)
        validation = fixed_images(work / "validation", options.size)
        steps = -(-len(tables["train"]) // BATCH)
        spent = train(model, backbone, images, validation, steps, options.epochs, work)
        judged = judge(model, fixed_images(work / "test", options.size), tables["test"], options.seed)
    low, high = judged["interval"] or (float("nan"), float("nan"))
    metric = "n/a (the test images lack a class)" if judged["macro_f1"] is None else f"{judged['macro_f1']:.3f}"
    print(
        f"test macro-F1 {metric} (95 % over lesions: {low:.3f} to {high:.3f}), {judged['images']} images, "
        f"{options.size} px, epochs {'/'.join(map(str, options.epochs))}, seed {options.seed}"
    )
    seconds = {"unpack": unpacked, "total": time.perf_counter() - started}
    print(json.dumps({**judged, "steps": spent, "seconds": seconds}))


if __name__ == "__main__":
    main()
