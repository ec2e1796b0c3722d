"""The sum of shifted images is Keras' depthwise convolution."""

from typing import Literal

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

from lesionflow.models.acceleration.depthwise import shifted_depthwise


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(5, 12), st.integers(5, 12)),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.integers(1, 3),
    st.sampled_from(("same", "valid")),
)
def test_it_gives_what_the_convolution_gives(
    sides: tuple[int, int], places: tuple[int, int], stride: int, padding: Literal["same", "valid"]
):
    import keras

    random = np.random.default_rng(0)
    images = random.normal(size=(2, *sides, 3)).astype("float32")
    kernel = random.normal(size=(*places, 3, 1)).astype("float32")
    expected = keras.ops.depthwise_conv(images, kernel, stride, padding, data_format="channels_last")
    np.testing.assert_allclose(shifted_depthwise(images, kernel, stride, padding), expected, atol=1e-5)
