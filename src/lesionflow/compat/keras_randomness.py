"""The random state of a whole process, and the detours to setting it."""

import sys
from typing import Any

from lesionflow.compat import keras_backend


def make_deterministic(seed: int) -> None:
    """Seed everything and, on a CPU, let the same program give the same bits each time.

    On TensorFlow this also chooses deterministic kernels; JAX's are deterministic on CPU as they are.
    Not on a GPU, where such kernels are slower, and XLA lacks some (the gradient of a max pooling).
    """
    keras_backend.prepare()
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        keras.utils.set_random_seed(seed)
        if not keras_backend.gpus():
            tf.config.experimental.enable_op_determinism()
        return
    # `keras.utils.set_random_seed` imports TensorFlow, if it is installed, under every backend, only to seed it:
    # seconds and 300 MB for nothing. A module that is None in `sys.modules` cannot be imported. No issue known.
    loaded = "tensorflow" in sys.modules
    modules: Any = sys.modules
    modules.setdefault("tensorflow", None)
    try:
        keras.utils.set_random_seed(seed)
    finally:
        if not loaded:
            del modules["tensorflow"]
