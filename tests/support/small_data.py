"""Small images and tables, as the steps before finetune write them, and the step itself on them."""

import hashlib
import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from lesionflow.artifacts.images import SCHEMA, shard_name, write_taxonomy
from lesionflow.components.finetune.finetune import finetune
from lesionflow.taxonomy import HAM10000

SIZE = 32
RECIPE: dict[str, Any] = {
    "backbone": "tiny",
    "input_size": SIZE,
    "batch_size": 16,
    "schedule": "cosine",
    "head": {"epochs": 1, "learning_rate": 0.01, "trainable": 0},
    "partial": {"epochs": 3, "learning_rate": 0.01, "trainable": 0.5},
    "full": {"epochs": 1, "learning_rate": 0.001, "trainable": 1},
}


def picture(label: int, random: np.random.Generator) -> bytes:
    """A PNG whose colour tells the label, with noise."""
    colour = np.array([label * 36, 255 - label * 36, (label * 97) % 256])
    pixels = np.clip(colour + random.normal(0, 25, (SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_images(folder: Path, count: int) -> pd.DataFrame:
    """Write `count` such pictures with the ids 000, 001, ... in two shards; return their ids and labels."""
    random = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for index in range(count):
        encoded = picture(index % 7, random)
        rows.append(
            {
                "image": {"bytes": encoded, "path": f"{index:03}.png"},
                "image_id": f"{index:03}",
                "lesion_id": f"L{index:03}",
                "dx": HAM10000.codes[index % 7],
                "width": SIZE,
                "height": SIZE,
                "sha256": hashlib.sha256(encoded).hexdigest(),
            }
        )
    folder.mkdir()
    write_taxonomy(folder, HAM10000)
    for shard in range(2):
        pq.write_table(pa.Table.from_pylist(rows[shard::2], schema=SCHEMA), folder / shard_name(shard, 2))
    return pd.DataFrame(rows)[["image_id", "lesion_id", "dx"]]


@dataclass(frozen=True)
class Data:
    """The input artifacts of a finetune step."""

    images: Path
    train: Path
    validation: Path

    def finetune(self, model: Path, phase: str = "head", **options: Any) -> dict[str, Any]:
        """Run a step on this data, from scratch unless told otherwise."""
        recipe = yaml.safe_dump({**RECIPE, **options.pop("changes", {})})
        arguments = {"recipe": recipe, "weights": "none", "seed": 3, **options}
        return asdict(finetune(str(self.images), str(self.train), str(self.validation), str(model), phase, **arguments))
