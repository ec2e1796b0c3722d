"""What differs between Keras backends: the only module that may import TensorFlow."""

import os
from importlib.metadata import version
from typing import Literal


def quiet() -> None:
    """Keep TensorFlow's start-up notices out of the log; call before the first `import keras`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def make_deterministic(seed: int) -> None:
    """Seed everything and let the same program give the same bits each time.

    On TensorFlow this also chooses deterministic kernels; JAX's are deterministic on CPU as they are.
    """
    quiet()
    import keras

    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def versions() -> dict[str, str]:
    """Of what computes: the same program gives the same bits only under the same of these."""
    quiet()
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        found = tf.__version__
    else:
        found = version(backend)
    return {"backend": backend, backend: found, "keras": keras.__version__, "numpy": version("numpy")}


def jit_compile() -> Literal["auto"] | bool:
    """Whether to compile models with XLA.

    Keras' own choice ("auto") compiles on TensorFlow's CPU too, which made a training step of
    EfficientNetV2B0 six times slower on two cores.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return "auto" if tf.config.list_physical_devices("GPU") else False
    return "auto"
