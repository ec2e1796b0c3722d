"""Which change of the recipe helps? A base, one change per row, several seeds, judged without the test set.

    python benchmarks/ablation.py --data FOLDER --weights FILE --work FOLDER
        [--rows NAME ...] [--seeds 0 1] [--size 64] [--share 0.33] [--backbone efficientnetv2b0]

FOLDER of --data is what `lesionflow run --data` takes; --weights is as there. The lesions are split once, as
a run with seed 0 splits them (70/10/20, with the leak guard). A row trains on --share of the training
lesions, of each class alike, and its best epoch is chosen on the validation lesions. Its metric is the
macro-F1 over the images of all lesions it was not trained on, but for the test set's, which nothing here
ever reads: with a share of a third these are 5,700 images instead of the validation's 1,000, and an interval
half as wide. Intervals (95 %) are of a bootstrap over lesions, the same draws for every row, so differences
are paired by lesion and by seed; they hold the chance in the images, and what the seeds say apart is
listed beside them.

Everything is kept in --work: the data, and a file in results/ for each finished (row, seed), which is not
run again unless the recipe it stands for has changed; a row that was cut short goes on at its last epoch.
The rows run one after the other, each in a process of its own, as TensorFlow gives back no memory; a second
such command may run other seeds in the same --work, once the first has prepared it. The Markdown table comes
on standard output, at the end and after an interruption alike.
"""

import argparse
import gc
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesionflow.artifacts.table import write_table
from lesionflow.artifacts.tables import Split
from lesionflow.components.balance.balance import balance_table
from lesionflow.components.duplicates.duplicates import find_duplicates
from lesionflow.components.finetune.finetune import finetune
from lesionflow.components.ingest.ingest import ingest
from lesionflow.components.split.split import split_images
from lesionflow.data.pixels import decode_images
from lesionflow.metrics.bootstrap import Bootstrap
from lesionflow.metrics.classification import Indices, confusion_statistic, predicted_classes
from lesionflow.models.loaded_model import load_model
from lesionflow.recipe import PhaseName, Recipe
from lesionflow.runtime.files import whole_folder, write_json
from lesionflow.taxonomy import HAM10000

Changes = dict[str, Any]

BASE: Changes = {
    "balance": "sqrt",
    "schedule": "cosine",
    "head": {"epochs": 1, "learning_rate": 1e-3, "trainable": 0.0},
    "partial": {"epochs": 6, "learning_rate": 3e-4, "trainable": 0.75},
    "full": {"epochs": 2, "learning_rate": 5e-5, "trainable": 1.0},
}
ROWS: dict[str, Changes] = {
    "base": {},
    "larger": {"input_size": 1.5},  # times --size
    "vertical flip": {"augmentation": {"vertical_flip": True}},
    "colour": {"augmentation": {"brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "hue": 0.02}},
    "crop": {"augmentation": {"crop": 0.6}},
    "mixup": {"mix": "mixup", "mix_alpha": 0.2},
    "cutmix": {"mix": "cutmix", "mix_alpha": 1.0},
    "no balance": {"balance": "none"},
    "oversampling": {"balance": "oversample"},
    "effective number": {"balance": "effective-number"},
    "average": {"ema": 0.99},
    "longer": {"partial": {"epochs": 12}},
    "four views": {"test_time_augmentation": 4},
}
STRONG: Changes = {
    "augmentation": {
        "rotation": 180, "vertical_flip": True, "crop": 0.6,
        "brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "hue": 0.02,
    },
    "ema": 0.99,
    "test_time_augmentation": 4,
    "partial": {"epochs": 20},
}  # fmt: skip
FAST: Changes = {**STRONG, "partial": {"epochs": 20, "learning_rate": 1e-3}}
DETAIL: Changes = {
    **FAST,
    "augmentation": {**STRONG["augmentation"], "crop": 0.35},
    "decode_scale": 1.5,
    "test_time_augmentation": 8,
}
# What only slows the learning down in six epochs may pay in twenty.
ROWS.update(
    {
        "strong": STRONG,
        "strong, cutmix": {**STRONG, "mix": "cutmix", "mix_alpha": 1.0},
        "strong, rate 1e-3": FAST,
        "detail": DETAIL,
        "detail, cutmix": {**DETAIL, "mix": "cutmix", "mix_alpha": 1.0},
    }
)


def recipe_of(row: str, size: int, backbone: str) -> Recipe:
    """The recipe that a row stands for."""
    changes = {"input_size": 1.0, **ROWS[row]}
    changes["input_size"] = round(changes["input_size"] * size)
    return Recipe.model_validate(_merge({**BASE, "backbone": backbone}, changes))


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Changes:
    return {**base, **{k: _merge(base.get(k, {}), v) if isinstance(v, dict) else v for k, v in changes.items()}}


def prepare(data: str, work: Path, share: float) -> Path:
    """Ingest and split once, and choose the lesions to train on.

    Returns:
        Folder of the tables `train`, `validation` and `judged`.
    """
    images = work / "images"
    if not images.exists():
        ingest(data, "", str(images), str(work / "quarantine.parquet"), str(work / "data_card.html"))
    pairs = work / "duplicates.csv"
    if not pairs.exists():
        find_duplicates(images, pairs, work / "duplicates.html")
    tables = work / f"tables-{share:g}"
    if not tables.exists():
        with whole_folder(tables) as folder:
            names = ("train", "validation", "test")
            split_images(images, {name: folder / name for name in names}, found_pairs=pairs)
            (folder / "test").unlink()
            train, validation = (Split.load(folder / name) for name in ("train", "validation"))
            lesions = train.drop_duplicates("lesion_id").sample(frac=1, random_state=0)
            rank = lesions.groupby("dx").cumcount() + 0.5
            chosen = set(lesions["lesion_id"][rank < share * lesions.groupby("dx")["dx"].transform("size")])
            inside = train["lesion_id"].isin(chosen)
            write_table(train[inside], folder / "train")
            write_table(pd.concat([validation, train[~inside]], ignore_index=True), folder / "judged")
    return tables


def run_row(recipe: Recipe, seed: int, work: Path, tables: Path, weights: str, checkpoints: Path) -> dict[str, Any]:
    """Train a recipe and classify the images that are judged.

    Returns:
        `predicted`: a digit per image, its index into HAM10000.codes; `seconds` and `cpu_seconds` of training;
        `val_macro_f1` of the epoch that was kept; `epochs_trained` here and not by an earlier try.
    """
    import keras

    sys.stdout = sys.stderr  # standard output is for the table
    wall, cpu = time.perf_counter(), time.process_time()
    place, model, reached, trained = work / f"row-{seed}", "", 0.0, 0
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    text = recipe.model_dump_json()
    balance_table(tables / "train", place / "train", place / "balance.html", recipe=text)
    for phase in PhaseName:
        keras.utils.clear_session()
        gc.collect()
        start, model = model or None, str(place / phase)
        inputs = str(work / "images"), str(place / "train"), str(tables / "validation")
        result = finetune(*inputs, model, phase, text, weights, "", seed, str(checkpoints), start)
        trained += result.epochs - result.resumed_at_epoch
        reached = result.val_macro_f1
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    judged = Split.load(tables / "judged")
    loaded, probabilities = load_model(model), np.empty((len(judged), len(HAM10000.codes)), np.float32)
    for rows, pixels in decode_images(work / "images", judged["image_id"].tolist(), recipe.decode_size):
        probabilities[rows] = loaded.predict(pixels)
    predicted = predicted_classes(probabilities)
    return {
        "predicted": "".join(map(str, predicted)),
        "val_macro_f1": reached,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "epochs_trained": trained,
    }


def macro_f1_samples(
    truth: Indices, predicted: Indices, lesion_ids: list[str], resamples: int = 1000
) -> NDArray[np.float64]:
    """Macro-F1 of the images as they are, then over resampled lesions as in the evaluation.

    Returns:
        Shape (1 + resamples,). The draws are the same for every prediction, so differences are paired.
    """
    statistic = confusion_statistic(truth, predicted, classes=HAM10000.codes)
    point = statistic(np.ones((1, len(truth))))["macro_f1"]
    return np.append(point, Bootstrap(lesion_ids, 0, resamples, truth).samples(statistic)["macro_f1"])


def table(records: list[dict[str, Any]], judged: pd.DataFrame) -> str:
    """The Markdown table of finished rows, in the order of ROWS.

    Args:
        records: of `run_row`, with `row` and `seed`.
        judged: table of the images that were classified.
    """
    truth, lesions = judged["dx"].map(HAM10000.index).to_numpy(np.int64), judged["lesion_id"].tolist()
    samples: dict[str, dict[int, NDArray[np.float64]]] = {}
    for record in records:
        digits = np.frombuffer(record["predicted"].encode(), np.uint8).astype(np.int64) - ord("0")
        samples.setdefault(record["row"], {})[record["seed"]] = macro_f1_samples(truth, digits, lesions)
    lines = [
        "| row | changed | macro-F1 | difference from base | by seed | s | CPU s |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in (row for row in ROWS if row in samples):
        own, base = samples[row], samples.get("base", {})
        paired = {seed: own[seed] - base[seed] for seed in sorted(own.keys() & base.keys()) if row != "base"}
        each = ", ".join(f"{difference[0]:+.3f}" for difference in paired.values())
        mine = [record for record in records if record["row"] == row]
        recipe = recipe_of(row, 64, "tiny")
        epochs = sum(recipe.phase(phase).epochs for phase in PhaseName)
        whole = [record for record in mine if record["epochs_trained"] == epochs]  # not resumed, nor the base's
        cost = [f"{np.mean([r[name] for r in whole]):.0f}" if whole else "" for name in ("seconds", "cpu_seconds")]
        score, gain = _interval([*own.values()], ".3f"), _interval([*paired.values()], "+.3f")
        lines.append("| " + " | ".join([row, _changed(row), score, gain, each, *cost]) + " |")
    return "\n".join(lines)


def _interval(samples: list[NDArray[np.float64]], form: str) -> str:
    if not samples:
        return ""
    mean = np.mean(samples, axis=0)
    low, high = np.quantile(mean[1:], (0.025, 0.975))
    return f"{mean[0]:{form}} ({low:{form}} to {high:{form}})"


def _changed(row: str) -> str:
    flat = pd.json_normalize(ROWS[row]).to_dict("records")
    return ", ".join(f"{name} {value}" for name, value in flat[0].items()) if ROWS[row] else ""


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=[*ROWS], metavar="NAME")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--share", type=float, default=0.33)
    parser.add_argument("--backbone", default="efficientnetv2b0")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    results = options.work / "results"
    results.mkdir(exist_ok=True)
    finished: list[dict[str, Any]] = []
    with redirect_stdout(sys.stderr):
        tables = prepare(options.data, options.work, options.share)
    judged = Split.load(tables / "judged")
    trained_on = Split.load(tables / "train")
    base = recipe_of("base", options.size, options.backbone)
    try:
        for seed in options.seeds:
            for row in options.rows:
                recipe = recipe_of(row, options.size, options.backbone)
                terms = [recipe.model_dump_json(), seed, options.share, options.weights]
                result = results / f"{hashlib.sha256(json.dumps(terms).encode()).hexdigest()[:16]}.json"
                if not result.exists():
                    print(f"{row}, seed {seed}", file=sys.stderr)
                    # Rows that only predict otherwise find the base's training finished.
                    same = recipe.model_copy(update={"test_time_augmentation": 1}) == base
                    checkpoints = options.work / "checkpoints" / f"{'base' if same else 'row'}-{seed}"
                    # Spawned, so that nothing of TensorFlow's state comes along.
                    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as child:
                        terms = recipe, seed, options.work, tables, options.weights, checkpoints
                        record = child.submit(run_row, *terms).result()
                    write_json(result, {"row": row, "seed": seed, **record})
                    shutil.rmtree(options.work / "checkpoints" / f"row-{seed}", ignore_errors=True)
                finished.append(json.loads(result.read_text(encoding="utf-8")))
    finally:
        seeds = ", ".join(map(str, options.seeds))
        print(
            f"{options.backbone}, {options.size} px, seeds {seeds}; trained on {len(trained_on):,} images of "
            f"{trained_on['lesion_id'].nunique():,} lesions, macro-F1 on {len(judged):,} images of "
            f"{judged['lesion_id'].nunique():,} other lesions of train and validation\n"
        )
        print(table(finished, judged))


if __name__ == "__main__":
    main()
