"""What differs between Keras backends, TensorFlow and JAX: which it is, its settings, its devices.

`KERAS_BACKEND` chooses. Only `compat` and the export's formats may import either. With JAX it ran on a GPU
(benchmarks/RESULTS.md). What concerns TensorFlow's GPUs was never run on one: the choice is tested on described
devices (`training.device_plan`), several devices on several virtual CPUs, and XLA and half precision on a CPU.
"""

import os
import sys
from dataclasses import dataclass
from importlib.metadata import version


@dataclass(frozen=True)
class Device:
    """What a backend says of one of its devices."""

    name: str
    """As the backend calls it: `gpu:0`."""
    capability: tuple[int, int] | None = None
    """CUDA compute capability; None for what is no NVIDIA GPU."""


_SET_BY_IMPORTS = {
    "ENABLE_RUNTIME_UPTIME_TELEMETRY": "1",  # tensorflow
    "TF2_BEHAVIOR": "1",  # tensorflow
    "TPU_ML_PLATFORM": "Tensorflow",  # tensorflow
    "TPU_ML_PLATFORM_VERSION": "",  # tensorflow, its version
    "HDF5_PLUGIN_PATH": "disable",  # tensorflow
    "TPU_SKIP_MDS_QUERY": "1",  # jax
    "LD_LIBRARY_PATH": "",  # cv2, which puts a folder before what is there
    "KMP_DUPLICATE_LIB_OK": "True",  # scikit-learn
}
"""What `import keras` puts into the environment with all that it imports, as it stands there afterwards."""


def prepare(shards: int = 1) -> None:
    """Set what a backend reads from the environment as it starts; call before the first `import keras`.

    Both backends would start a thread for each core of the machine, however few of them this
    container may use.

    What the imports will set is set here already. A new variable makes the C library move its list of them, and a
    thread that reads the list just then reads freed memory: libjpeg-turbo does in each new thread that decodes, and
    decoding goes on beside the imports (libjpeg-turbo issue 649; glibc frees old lists up to 2.40).

    Args:
        shards: into which each batch will be divided on TensorFlow, see `models.acceleration`; they share
            the threads that would compute one operation.
    """
    cores = _cores()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # no start-up notices in the log
    # TensorFlow leaves it off on CPUs without AVX-512, where it is worth as much.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, cores // shards)))
    for variable in ("TF_NUM_INTEROP_THREADS", "PJRT_NPROC"):  # the last is JAX's
        os.environ.setdefault(variable, str(cores))
    for variable, value in _SET_BY_IMPORTS.items():
        os.environ.setdefault(variable, value)
    # Keras sets it before it imports JAX, so that a TensorFlow beside it leaves the GPU's memory alone.
    if os.environ.get("KERAS_BACKEND") == "jax":
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")


def _cores() -> int:
    from joblib import cpu_count  # knows affinity and a container's CPU quota

    return cpu_count()


def choose_tensorflow() -> None:
    """Let Keras compute with TensorFlow in this process, whatever the environment says, unless it was imported already.

    Keras reads `KERAS_BACKEND` as it is imported and has no later way to choose.
    """
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "tensorflow"


def versions() -> dict[str, str]:
    """List what computes: the same program gives the same bits only under the same of these."""
    prepare()
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        found = tf.__version__
    else:
        found = version(backend)
    return {"backend": backend, backend: found, "keras": keras.__version__, "numpy": version("numpy")}


def gpus() -> list[Device]:
    """List the GPUs that the backend sees."""
    prepare()
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
        return [Device(f"gpu:{index}", found.get("compute_capability")) for index, found in enumerate(details)]
    import jax

    return [
        Device(f"gpu:{gpu.id}", _capability(getattr(gpu, "compute_capability", "")))
        for gpu in jax.local_devices()
        if gpu.platform == "gpu"
    ]


def _capability(text: str) -> tuple[int, int] | None:
    """Read JAX's "8.0"; None for another maker's GPU."""
    major, dot, minor = text.partition(".")
    return (int(major), int(minor)) if dot and major.isdigit() and minor.isdigit() else None


def compile_with_xla() -> bool:
    """Whether XLA compiles a whole model: what `compile` takes as `jit_compile`.

    JAX always compiles. On TensorFlow, XLA knows neither the affine map of the augmentation nor the
    resizing of the deployable model, so a whole model cannot be compiled: see `models.acceleration`.
    """
    import keras

    return keras.backend.backend() == "jax"


def xla_on_cpu() -> bool:
    """Whether XLA compiles for the CPU what trains and predicts here."""
    return compile_with_xla() and not gpus()
