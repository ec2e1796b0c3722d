"""Process-wide choices of where and how precisely Keras computes."""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any


@contextmanager
def computing(precision: str, devices: list[str]) -> Generator[None]:
    """Build and train models inside this in a precision and on some devices.

    Keras keeps the policy for the whole process; it is put back at the end.

    Args:
        precision: `float32`, or a mixed policy of Keras.
        devices: names of those that share each batch; with less than two nothing is shared.
    """
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        with data_parallel(devices):
            yield
    finally:
        keras.config.set_dtype_policy(before)


def data_parallel(devices: list[str]) -> AbstractContextManager[Any]:
    """Within it, models are built on each of the devices, and each step divides its batch among them.

    `keras.distribution` works with JAX only; on TensorFlow, Keras follows TensorFlow's own strategies.
    With less than two devices nothing changes.
    """
    import keras

    if len(devices) < 2:
        return nullcontext()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.MirroredStrategy(devices).scope()
    return keras.distribution.DataParallel(devices=devices).scope()


def whole_shares(count: int) -> int:
    """Round a number of images up until they can be divided evenly among the devices at work.

    JAX refuses a batch of which the devices would get unequal shares.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        devices = tf.distribute.get_strategy().num_replicas_in_sync
    else:
        distribution = keras.distribution.distribution()
        devices = distribution.num_model_replicas if distribution else 1
    return -(-count // devices) * devices
