"""What differs between Keras backends, TensorFlow and JAX: beside the export's, the only module that may import either.

`KERAS_BACKEND` chooses. With JAX it ran on a GPU (benchmarks/RESULTS.md). What concerns TensorFlow's GPUs was never
run on one: the choice is tested on described devices (`device_plan`), several devices on several virtual CPUs, and
XLA and half precision on a CPU.
"""

import os
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from lesionflow.models.acceleration.device_plan import Device, Plan, plan

if TYPE_CHECKING:
    import keras


def prepare(shards: int = 1) -> None:
    """Set what a backend reads from the environment as it starts; call before the first `import keras`.

    Both backends would start a thread for each core of the machine, however few of them this
    container may use.

    Args:
        shards: into which each batch will be divided on TensorFlow, see `program.core_shards`; they share
            the threads that would compute one operation.
    """
    cores = _cores()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # no start-up notices in the log
    # TensorFlow's default is 0 on CPUs without AVX-512: on one, a training step took twice as long.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, cores // shards)))
    for variable in ("TF_NUM_INTEROP_THREADS", "PJRT_NPROC"):  # the last is JAX's
        os.environ.setdefault(variable, str(cores))


def _cores() -> int:
    from joblib import cpu_count  # knows affinity and a container's CPU quota

    return cpu_count()


def make_deterministic(seed: int) -> None:
    """Seed everything and, on a CPU, let the same program give the same bits each time.

    On TensorFlow this also chooses deterministic kernels; JAX's are deterministic on CPU as they are.
    Not on a GPU, where such kernels are slower, and XLA lacks some (the gradient of a max pooling).
    """
    prepare()
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        keras.utils.set_random_seed(seed)
        if not gpus():
            tf.config.experimental.enable_op_determinism()
        return
    # Keras would import TensorFlow, if installed, only to seed it: seconds and 300 MB for nothing.
    absent: dict[str, Any] = {"tensorflow": None} if "tensorflow" not in sys.modules else {}
    sys.modules.update(absent)
    try:
        keras.utils.set_random_seed(seed)
    finally:
        for name in absent:
            del sys.modules[name]


def versions() -> dict[str, str]:
    """Of what computes: the same program gives the same bits only under the same of these."""
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
    """The GPUs that the backend sees."""
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
    """Of JAX's "8.0"; None for another maker's GPU."""
    major, dot, minor = text.partition(".")
    return (int(major), int(minor)) if dot and major.isdigit() and minor.isdigit() else None


@contextmanager
def training_devices(batch_size: int) -> Generator[Plan]:
    """Build and train models inside this: on all suited GPUs, in the precision that suits them; else on the CPU.

    Args:
        batch_size: images in a batch of the whole step.
    """
    import keras

    chosen = plan(gpus(), batch_size)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(chosen.precision)
    try:
        with data_parallel([device.name for device in chosen.devices]):
            yield chosen
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
    """`count` images, rounded up until they can be divided evenly among the devices at work.

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


def untuned(batches: "keras.utils.PyDataset") -> Any:
    """The batches as `fit` and `predict` should get them: on TensorFlow as a tf.data pipeline without autotuning.

    Keras makes one with it, with which three of ten epochs of 28 s took 42 s: their ends fell on 2.56, 5.12, 20.5 or
    41 s. An iterator's end waits for its tuner's thread, which sleeps for 10, 20, 40 ... ms between its looks, and may
    miss being woken: it is notified (`OptimizeLoop` in tensorflow/core/framework/model.cc) before what it then asks,
    whether all was cancelled, is true (`StartCancelWithStatus` in xla/tsl/framework/cancellation.cc).

    Args:
        batches: tuples of arrays, all of one shape but for their number of rows; one batch or more.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return batches
    import tensorflow as tf

    each: Any = batches
    count, first = len(each), each[0]
    signature = tuple(tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in first)

    def generate() -> Generator[Any]:
        yield first
        for index in range(1, count):
            yield each[index]

    stream: Any = tf.data.Dataset.from_generator(generate, output_signature=signature)
    options = tf.data.Options()
    options.autotune.enabled = False
    return stream.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2).with_options(options)


def compile_with_xla() -> bool:
    """What to pass to `compile` for a whole model.

    JAX always compiles. On TensorFlow, XLA knows neither the affine map of the augmentation nor the
    resizing of the deployable model, so a whole model cannot be compiled: see `program.compiled_core`.
    """
    import keras

    return keras.backend.backend() == "jax"


def xla_on_cpu() -> bool:
    """Whether XLA compiles for the CPU what trains and predicts here."""
    return compile_with_xla() and not gpus()


def tensorflow_program(function: Callable[..., Any], xla: bool) -> Any:
    """A function that TensorFlow traces once and computes as one, with XLA or without; TensorFlow only."""
    import tensorflow as tf

    return tf.function(function, jit_compile=xla, reduce_retracing=True)


def adam_in_one_operation(
    variable: Any,
    momentum: Any,
    velocity: Any,
    gradient: Any,
    rate: Any,
    step: Any,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> bool:
    """Update a variable and its two moments as `keras.optimizers.Adam` does, if the backend can in one operation.

    That is TensorFlow on a CPU: XLA, which compiles for GPUs and for JAX, fuses Keras' operations by itself.

    Args:
        variable: TensorFlow's own, as Keras hands it to an optimizer on that backend.
        momentum: Keras' variable; likewise `velocity`.
        gradient: of the loss by `variable`.
        rate: learning rate.
        step: number of this step, from 1.
        beta_1: of the first moment, and so on, as Keras names them.

    Returns:
        Whether it did.
    """
    import keras

    if keras.backend.backend() != "tensorflow" or gpus():
        return False
    import tensorflow as tf

    converted: Any = keras.ops.convert_to_tensor(step)
    number = tf.cast(converted, variable.dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=momentum.value.handle,
        v=velocity.value.handle,
        beta1_power=tf.pow(tf.cast(beta_1, variable.dtype), number),
        beta2_power=tf.pow(tf.cast(beta_2, variable.dtype), number),
        lr=tf.cast(rate, variable.dtype),
        beta1=beta_1,
        beta2=beta_2,
        epsilon=epsilon,
        grad=gradient,
    )
    return True
