"""Fixtures: small data and what was trained on it."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_data import SIZE, Data, picture

from components.common.image_table import SCHEMA, shard_name
from components.common.tables import write_table
from components.common.taxonomy import LABELS


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """84 training and 28 validation images in two shards."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for index in range(112):
        encoded = picture(index % 7, random)
        rows.append(
            {
                "image": {"bytes": encoded, "path": f"{index:03}.png"},
                "image_id": f"{index:03}",
                "lesion_id": f"L{index:03}",
                "dx": LABELS[index % 7],
                "width": SIZE,
                "height": SIZE,
                "sha256": hashlib.sha256(encoded).hexdigest(),
            }
        )
    images = folder / "images"
    images.mkdir()
    for shard in range(2):
        pq.write_table(pa.Table.from_pylist(rows[shard::2], schema=SCHEMA), images / shard_name(shard, 2))
    table = pd.DataFrame(rows)[["image_id", "lesion_id", "dx"]]
    found = Data(images, folder / "train.parquet", folder / "validation.parquet")
    write_table(table[:84].assign(fold="train", weight=1.0, draws=1.0), found.train)
    write_table(table[84:].assign(fold="validation"), found.validation)
    return found


@pytest.fixture(scope="session")
def head(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of a finished head step, from scratch; its checkpoints lie beside it."""
    folder = tmp_path_factory.mktemp("head")
    data.finetune(folder / "model", checkpoint_folder=str(folder / "checkpoints"))
    return folder / "model"


@pytest.fixture(scope="session")
def partial(data: Data, head: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of the step after it, trained without a break."""
    model = tmp_path_factory.mktemp("partial") / "model"
    data.finetune(model, "partial", start=str(head))
    return model


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Starting weights for the tiny backbone."""
    from components.common.backbone import backbone_of, build_core

    path = tmp_path_factory.mktemp("weights") / "tiny.weights.h5"
    backbone_of(build_core("tiny", SIZE, 0.1)).save_weights(path)
    return path
