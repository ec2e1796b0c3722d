"""A frozen normalization in the convolution before it: the same answers, the same gradients, the same weights."""

from typing import Any

import numpy as np
import pytest

from lesionflow.models.acceleration import folding
from lesionflow.models.acceleration.folding import folded
from lesionflow.models.classifier import backbone_of, build_core, set_trainable

SIDE = 64


def _with_statistics(backbone: str, pretrained: bool = True) -> Any:
    """A core whose normalizations do something."""
    import keras

    keras.utils.set_random_seed(0)
    core: Any = build_core(backbone, SIDE, dropout=0, classes=7)
    random = np.random.default_rng(0)
    for layer in _normalizations(core):
        shape = layer.gamma.shape
        near_one = [random.uniform(0.5, 1.5, shape) for _ in range(2)]
        near_zero = [random.normal(0, 0.1, shape) for _ in range(2)]
        layer.set_weights([near_one[0], *near_zero, near_one[1]])
    set_trainable(core, backbone, 1.0, pretrained)
    return core


def _normalizations(core: Any) -> list[Any]:
    import keras

    return [layer for layer in backbone_of(core).layers if isinstance(layer, keras.layers.BatchNormalization)]


def _images(count: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, SIDE, SIDE, 3)).astype("float32")


@pytest.mark.parametrize(
    ("backbone", "xla"), [("tiny", False), ("efficientnetv2b0", False), ("efficientnetv2b0", True)]
)
def test_no_frozen_normalization_is_left_and_the_answers_are_the_same(
    backbone: str, xla: bool, monkeypatch: pytest.MonkeyPatch
):
    def on_cpu() -> bool:
        return xla

    monkeypatch.setattr(folding, "xla_on_cpu", on_cpu)  # then depthwise convolutions are computed as on JAX
    core = _with_statistics(backbone)
    quick = folded(core)
    assert _normalizations(core)
    assert not _normalizations(quick)
    np.testing.assert_allclose(quick(_images()), core(_images()), atol=1e-5)


def test_what_it_learns_the_core_has_learnt():
    import keras
    import tensorflow as tf

    core = _with_statistics("tiny")
    quick = folded(core)
    assert [id(weight) for weight in quick.trainable_variables] == [id(weight) for weight in core.trainable_variables]

    def gradients(model: Any) -> list[np.ndarray]:
        with tf.GradientTape() as tape:
            loss = keras.losses.sparse_categorical_crossentropy(np.array([0, 3, 6]), model(_images(), training=True))
        return [np.asarray(value) for value in tape.gradient(loss, core.trainable_variables)]

    for ours, whole in zip(gradients(quick), gradients(core), strict=True):
        np.testing.assert_allclose(ours, whole, rtol=1e-3, atol=1e-5)
    before = np.array(core(_images()))
    for weight in quick.trainable_variables:
        weight.assign(weight * 1.1)
    after = np.array(core(_images()))
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(quick(_images()), after, atol=1e-6)


def test_a_normalization_that_learns_stays():
    core = _with_statistics("tiny", pretrained=False)
    assert len(_normalizations(folded(core))) == len(_normalizations(core))


def test_nothing_is_folded_in_half_precision():
    import keras

    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        core = _with_statistics("tiny")
        assert len(_normalizations(folded(core))) == len(_normalizations(core))
    finally:
        keras.config.set_dtype_policy("float32")
