"""What training and judging get from either backend."""

import numpy as np

from lesionflow.compat.keras_backend import prepare
from lesionflow.compat.tensorflow_graph import untuned


def test_each_batch_is_made_once_and_in_order():
    prepare()
    import keras

    made: list[int] = []

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            made.append(index)
            rows = 2 if index < 2 else 1  # the last batch may be smaller
            return np.full((rows, 2), index, np.float32), np.full(rows, index, np.int32)

    inputs = keras.Input((2,))
    model = keras.Model(inputs, inputs + 0.0)
    said = model.predict(untuned(Batches()), verbose=0)
    np.testing.assert_array_equal(said[:, 0], [0, 0, 1, 1, 2])
    assert made == [0, 1, 2]
