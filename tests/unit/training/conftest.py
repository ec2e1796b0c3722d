"""Fixtures: small data and what was trained on it."""

from pathlib import Path

import pytest
from small_data import SIZE, Data, write_images

from lesionflow.artifacts.table import write_table


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """84 training and 28 validation images in two shards."""
    folder = tmp_path_factory.mktemp("data")
    images = folder / "images"
    table = write_images(images, 112)
    found = Data(images, folder / "train.parquet", folder / "validation.parquet")
    write_table(table[:84].assign(subset="train", weight=1.0, sampling_weight=1.0), found.train)
    write_table(table[84:].assign(subset="validation"), found.validation)
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
    import keras

    from lesionflow.models.classifier import backbone_of, build_core

    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.weights.h5"
    backbone_of(build_core("tiny", SIZE, 0.1, 7)).save_weights(path)
    return path
