"""An evaluated world in small: images, tables and a model folder whose answers the test decides."""

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from lesionflow.artifacts.evaluation import Evaluation, ExamplesShown, SplitData
from lesionflow.artifacts.images import SCHEMA, write_taxonomy
from lesionflow.artifacts.model_folder import write_labels
from lesionflow.artifacts.table import write_table
from lesionflow.artifacts.tables import table_digest
from lesionflow.artifacts.training_record import Rows, TrainingRecord
from lesionflow.components.evaluate.evaluate import evaluate
from lesionflow.metrics.classification import classification_metrics
from lesionflow.metrics.selective_prediction import Abstention
from lesionflow.metrics.statistics import CalibrationOfModel, OperatingPoints, Subgroups
from lesionflow.policy import floor
from lesionflow.recipe import Phase, PhaseName, Recipe
from lesionflow.reporting.outcome import Conclusion
from lesionflow.runtime.files import write_json
from lesionflow.runtime.provenance import Provenance
from lesionflow.taxonomy import HAM10000, Taxonomy
from lesionflow.verdict import Evidence, judge

OUTPUTS = ("evaluation", "metrics", "classification", "report", "scores", "model_card")


def strict_json(path: Path) -> Any:
    """Read JSON as a strict reader does, which knows no NaN."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{path} holds {constant}, which is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


@dataclass
class FakeModel:
    """Gives the probabilities it was made with, in the order of the test table, then of the validation table.

    Of validation images beyond them it knows the labels as `make_world` gives them; of what it is asked afterwards
    (the examples, partly covered) it has no idea.
    """

    probabilities: NDArray[np.float32]
    taxonomy: Taxonomy = HAM10000
    decode_size: int = 32
    seen: int = 0

    @property
    def labels(self) -> tuple[str, ...]:
        return self.taxonomy.codes

    def predict(self, pixels: NDArray[np.uint8], batch_size: int = 64) -> NDArray[np.float32]:
        assert pixels.shape[1:] == (32, 32, 3)
        known = np.concatenate([self.probabilities, probabilities_for(list(HAM10000.codes))])
        self.seen += len(pixels)
        said = known[self.seen - len(pixels) : self.seen]
        return said if len(said) else np.full((len(pixels), len(HAM10000.codes)), 1 / len(HAM10000.codes), np.float32)


@dataclass
class World:
    """What evaluate reads, and where it writes."""

    folder: Path
    test: pd.DataFrame

    def inputs(self) -> dict[str, str]:
        return {name: str(self.folder / name) for name in ("images", "train", "validation", "test", "model")}

    def outputs(self) -> dict[str, str]:
        return {name: str(self.folder / "out" / name) for name in OUTPUTS}

    def evaluate(
        self, monkeypatch: Any, probabilities: NDArray[np.float32], threshold: float = 0.7, **options: Any
    ) -> Conclusion[Evaluation]:
        """Judge by the macro-F1, unless `policy` is among the options."""
        monkeypatch.setattr(
            "lesionflow.components.evaluate.evaluate.load_model", lambda folder: FakeModel(probabilities)
        )
        return evaluate(**self.inputs(), **self.outputs(), **{"policy": floor("macro_f1", threshold).text(), **options})

    def describe(self) -> None:
        """Give every image a sex and an age; as `make_world` leaves them, nobody knows anything."""
        shard = self.folder / "images" / "images-00000-of-00001.parquet"
        table = pd.read_parquet(shard)
        table["sex"] = ["female" if row % 3 else "male" for row in range(len(table))]
        table["age"] = np.array([25.0 + row % 60 for row in range(len(table))], np.float32)
        pq.write_table(pa.Table.from_pandas(table, SCHEMA, preserve_index=False), shard)

    def out(self, name: str) -> Path:
        return self.folder / "out" / name


def make_world(folder: Path, test_labels: list[str], synthetic: bool = False) -> World:
    """Images of every table (noise, 40x32), tables with two images per lesion, and a model folder."""
    labels = {
        "train": [label for label in HAM10000.codes for _ in range(4)],
        "validation": list(HAM10000.codes),
        "test": test_labels,
    }
    tables = {name: _table(name, dx) for name, dx in labels.items()}
    rows = pd.concat(tables.values())
    random = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    columns: dict[str, Any] = {
        "image": [{"bytes": jpeg(random), "path": f"{image_id}.jpg"} for image_id in rows["image_id"]],
        "image_id": rows["image_id"].tolist(),
        "lesion_id": rows["lesion_id"].tolist(),
        "dx": rows["dx"].tolist(),
        **{name: [None] * len(rows) for name in ("dx_type", "age", "sex", "localization", "dataset")},
        "width": [40] * len(rows),
        "height": [32] * len(rows),
        "sha256": rows["image_id"].tolist(),
    }
    pq.write_table(pa.table(columns, SCHEMA), folder / "images" / "images-00000-of-00001.parquet")
    card = {"source": "some/<folder>", "synthetic": synthetic, "fingerprint": "f1n9e2", "licence": "CC BY-NC 4.0"}
    write_json(folder / "images" / "data_card.json", card)
    write_taxonomy(folder / "images", HAM10000)
    tables["train"]["weight"] = 1.0
    tables["train"]["sampling_weight"] = 1.0
    for name, table in tables.items():
        write_table(table, folder / name)
    make_model_folder(folder / "model")
    return World(folder, tables["test"])


def make_model_folder(folder: Path) -> Path:
    """A model folder whose model is no model, only an archive."""
    folder.mkdir(parents=True)
    write_labels(folder, 32, taxonomy=HAM10000)
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        archive.writestr("weights", folder.name)
    history = (
        "phase,epoch,loss,val_loss,val_macro_f1,seconds\nhead,1,1.5,1.6,0.3,1\npartial,1,1,,0.5,1\nfull,1,1,1.2,0.6,1\n"
    )
    (folder / "history.csv").write_text(history)
    training_record().write(folder / "training.json")
    (folder / "tensorboard").mkdir()
    (folder / "tensorboard" / "events").write_bytes(b"events")
    return folder


def make_colour_model(folder: Path) -> Path:
    """A model folder with a real Keras model, which looks at the mean colour only."""
    import keras

    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.layers.Input((None, None, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(len(HAM10000.codes), activation="softmax"),
        ]
    )
    make_model_folder(folder)
    network.save(folder / "model.keras")
    return folder


def jpeg(random: np.random.Generator, size: tuple[int, int] = (40, 32)) -> bytes:
    """Noise of (width, height)."""
    buffer = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def probabilities_for(predicted: list[str], sure: float = 0.7) -> NDArray[np.float32]:
    """Rows that put `sure` on the given labels."""
    rows = np.full((len(predicted), len(HAM10000.codes)), (1 - sure) / (len(HAM10000.codes) - 1), np.float32)
    rows[np.arange(len(predicted)), [HAM10000.codes.index(label) for label in predicted]] = sure
    return rows


def training_record(**changes: Any) -> TrainingRecord:
    """How nothing was trained."""
    record = TrainingRecord(
        phase=PhaseName.FULL,
        recipe=Recipe(name="tiny-test", backbone="tiny", head=Phase(epochs=1, learning_rate=1e-3, trainable=0)),
        seed=3,
        weights="none",
        weights_sha256="",
        pretrained=False,
        fingerprint="f1n9e2",
        versions={"keras": "3"},
        devices="Training on a desk",
        best_epoch=1,
        rows=Rows(train=10, validation=5),
    )
    return record.model_copy(update=changes)


def make_evaluation(hits: int, misses: int, threshold: float = 0.7, **changes: Any) -> Evaluation:
    """An evaluation of a model that, of each class, knows `hits` images and mistakes `misses` for the next class."""
    truth = [label for label in HAM10000.codes for _ in range(hits + misses)]
    shifted = dict(zip(HAM10000.codes, [*HAM10000.codes[1:], HAM10000.codes[0]], strict=True))
    predicted = [dx if i % (hits + misses) < hits else shifted[dx] for i, dx in enumerate(truth)]
    labels = np.array([HAM10000.index[dx] for dx in truth])
    metrics = classification_metrics(labels, probabilities_for(predicted), HAM10000.codes)
    verdict = judge(Evidence(taxonomy=HAM10000, metrics=metrics), floor("macro_f1", threshold))
    counts = {name: dict.fromkeys(HAM10000.codes, hits + misses) for name in ("train", "validation", "test")}
    data: dict[str, Any] = {
        "source": "some/<folder>",
        "synthetic": False,
        "fingerprint": "f1n9e2",
        "test_set": "7e57",
        "counts": counts,
        "lesions": dict.fromkeys(counts, 70),
        "quarantined": {},
        "balanced": counts["train"],
        "tables": {},
    }
    evaluation = Evaluation(
        verdict=verdict.word,
        gate=verdict,
        taxonomy=HAM10000,
        metrics=metrics,
        calibration=CalibrationOfModel(reason="Nobody looked."),
        operating_points=OperatingPoints(reason="Nobody looked."),
        abstention=Abstention(reason="Nobody looked."),
        subgroups=Subgroups(reason="Nobody looked."),
        champion=None,
        resamples=2000,
        examples=ExamplesShown(right=(), wrong=()),
        data=SplitData(**data | changes.pop("data", {})),
        training=training_record(),
        provenance=Provenance(lesionflow="0", code="c0de", image=None),
        model_sha256="",
        seed=0,
        artifacts={},
    )
    return evaluation.model_copy(update=changes)


def write_evaluation(path: Path, hits: int, misses: int, threshold: float = 0.7, **changes: Any) -> dict[str, Any]:
    """Write what `make_evaluation` makes; returns what is then in the file."""
    make_evaluation(hits, misses, threshold, **changes).write(path)
    return strict_json(path)


def write_split(folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """What promote wants beside a model: where it lies, and what the evaluation says of the tables."""
    paths, digests = {"model_card": folder / "model_card"}, {}
    folder.mkdir(parents=True, exist_ok=True)
    paths["model_card"].write_text("# A model card\n")
    for fold, name in (("train", "train"), ("validation", "validation"), ("test", "scores")):
        table = _table(fold, list(HAM10000.codes))
        paths[name], digests[fold] = folder / name, table_digest(table)
        write_table(table, paths[name])
    return paths, digests


def _table(fold: str, labels: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": [f"{fold}_{i:03d}" for i in range(len(labels))],
            "lesion_id": [f"{fold}_{dx}_{i // 2}" for i, dx in enumerate(labels)],
            "dx": labels,
            "subset": fold,
        }
    )
