"""Files of starting weights: what is wrong with one is known without Keras."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from lesionflow.errors import UserError
from lesionflow.models.backbones import BACKBONES
from lesionflow.models.classifier import backbone_of, build_core
from lesionflow.models.starting_weights import check_weights_file
from lesionflow.models.weights import load_backbone_weights
from lesionflow.preflight import starting_weights
from lesionflow.preflight.starting_weights import check_starting_weights


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_the_noted_number_of_tensors_is_the_networks(backbone: str):
    weights = backbone_of(build_core(backbone, 32, 0.1, 7)).get_weights()

    noted = BACKBONES[backbone]
    assert (noted.tensors, noted.values) == (len(weights), sum(array.size for array in weights))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Weights of the tiny network as Keras writes them, and what is none."""
    import keras

    core = build_core("tiny", 32, 0.1, 7)
    network = backbone_of(core)
    found = {name: tmp_path / f"{name}.weights.h5" for name in ("plain", "with optimizer", "whole model", "text")}
    network.save_weights(found["plain"])
    core.save_weights(found["whole model"])
    network.compile(optimizer="adam", loss="mse")
    network.fit(np.zeros((1, 32, 32, 3)), np.zeros((1, 32)), verbose=0)
    network.save_weights(found["with optimizer"])
    found["text"].write_text("not weights")
    found["absent"] = tmp_path / "absent.weights.h5"
    found["old format"] = tmp_path / "old.h5"
    keras.Model(network.inputs, network.outputs).save(found["old format"])  # a whole model in Keras 2's format
    found["folder"] = tmp_path
    return found


@pytest.mark.parametrize("name", ["plain", "with optimizer", "old format"])
def test_what_keras_loads_is_not_refused(files: dict[str, Path], name: str):
    check_weights_file(files[name], "tiny")
    load_backbone_weights(build_core("tiny", 32, 0.1, 7), files[name])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent", "There are no starting weights at"),
        ("folder", "There are no starting weights at"),
        ("text", "cannot be read"),
        ("whole model", "do not fit the backbone tiny: they are 17 tensors"),
    ],
)
def test_what_keras_does_not_load_is_refused_with_the_users_own_name_of_it(
    files: dict[str, Path], name: str, words: str
):
    with pytest.raises(UserError, match=words) as refused:
        check_weights_file(files[name], "tiny", "gs://bucket/mine")
    assert "gs://bucket/mine" in str(refused.value)
    with pytest.raises(UserError):
        load_backbone_weights(build_core("tiny", 32, 0.1, 7), files[name])


def test_weights_in_a_bucket_are_looked_at_too(files: dict[str, Path], bucket: str):
    from lesionflow import storage

    storage.write_bytes(f"{bucket}/mine.weights.h5", files["plain"].read_bytes())
    storage.write_bytes(f"{bucket}/text.weights.h5", b"not weights")

    assert check_starting_weights(f"{bucket}/mine.weights.h5", "tiny", False, print) is None
    for name in ("text", "absent"):
        with pytest.raises(UserError, match=f"{bucket}.*{name}.weights.h5"):
            check_starting_weights(f"{bucket}/{name}.weights.h5", "tiny", False, print)
    with pytest.raises(UserError, match="do not fit the backbone efficientnetv2b0"):
        check_starting_weights(f"{bucket}/mine.weights.h5", "efficientnetv2b0", False, print)


def test_weights_in_the_images_are_those_of_the_checkout(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    baked = tmp_path / "baked"
    baked.mkdir()
    monkeypatch.setattr(starting_weights, "BAKED", baked)
    with pytest.raises(UserError, match=r"The images hold no /opt/weights/mine.h5.*make images"):
        check_starting_weights("/opt/weights/mine.h5", "tiny", True, print)

    shutil.copy(files["text"], baked / "mine.h5")
    with pytest.raises(UserError, match=r"/opt/weights/mine.h5 cannot be read"):
        check_starting_weights("/opt/weights/mine.h5", "tiny", True, print)

    shutil.copy(files["plain"], baked / "mine.h5")
    assert check_starting_weights("/opt/weights/mine.h5", "tiny", True, print) is None


def test_containers_see_the_published_weights_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cached = tmp_path / "cached.h5"
    monkeypatch.setattr(starting_weights, "imagenet_weights", lambda *_, **__: cached)

    assert check_starting_weights("imagenet", "efficientnetv2b0", True, print) == cached
    assert check_starting_weights("imagenet", "efficientnetv2b0", False, print) is None

    monkeypatch.setattr(starting_weights, "BAKED", tmp_path)  # they are in the image
    assert check_starting_weights("imagenet", "efficientnetv2b0", True, print) is None
