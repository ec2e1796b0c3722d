"""A batch divided among the cores teaches a network what the whole batch does."""

from typing import Any

import numpy as np
import pytest

from lesionflow.models.acceleration import program
from lesionflow.models.acceleration.program import compiled_core, core_shards
from lesionflow.models.classifier import build_core, set_trainable


def _gradients(core: Any, called: Any, images: Any, labels: Any) -> list[Any]:
    import keras
    import tensorflow as tf

    inputs = keras.Input(images.shape[1:])
    model = keras.Model(inputs, called(inputs))

    @tf.function  # as in `fit`: only in a graph can the shards run at once
    def of_batch(images: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(labels, outputs))
        return [outputs, *tape.gradient(loss, core.trainable_variables)]

    return [np.asarray(value) for value in of_batch(images, labels)]


@pytest.mark.parametrize("count", [7, 2, 1])
def test_shards_give_the_gradients_of_the_whole_batch(count: int):
    core: Any = build_core("tiny", 32, dropout=0, classes=7)
    set_trainable(core, "tiny", 1.0, pretrained=True)
    sharded = compiled_core(core, 3)
    assert sharded is not core
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, 32, 32, 3)).astype("float32")
    labels = random.integers(0, 7, count)
    for ours, whole in zip(
        _gradients(core, sharded, images, labels), _gradients(core, core, images, labels), strict=True
    ):
        np.testing.assert_allclose(ours, whole, atol=1e-6, rtol=1e-4)


def test_a_batch_whose_statistics_are_learnt_from_stays_whole():
    core = build_core("tiny", 32, dropout=0, classes=7)
    set_trainable(core, "tiny", 1.0, pretrained=False)
    assert compiled_core(core, 2) is core


@pytest.mark.parametrize(("cores", "batch", "shards"), [(1, 32, 1), (2, 32, 2), (16, 32, 2), (16, 8, 1), (4, 512, 4)])
def test_no_shard_is_small(monkeypatch: pytest.MonkeyPatch, cores: int, batch: int, shards: int):
    def some_cores() -> int:
        return cores

    monkeypatch.setattr(program, "cpu_count", some_cores)
    assert core_shards(batch) == shards
