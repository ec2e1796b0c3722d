"""What Keras does on TensorFlow by itself and TensorFlow does better when told, and TensorFlow's private functions."""

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from lesionflow.compat import keras_backend

if TYPE_CHECKING:
    import keras


def untuned(batches: "keras.utils.PyDataset") -> Any:
    """Make of batches what `fit` and `predict` should get: on TensorFlow as a tf.data pipeline without autotuning.

    Keras makes one with it, unless it loads in threads of its own; some epochs are then much longer, see
    benchmarks/RESULTS.md. An iterator's end waits for its tuner's thread, which sleeps for 10, 20, 40 ... ms between
    its looks, and may miss being woken: it is notified (`OptimizeLoop` in tensorflow/core/framework/model.cc) before
    what it then asks, whether all was cancelled, is true (`StartCancelWithStatus` in
    xla/tsl/framework/cancellation.cc).

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


def tensorflow_program(function: Callable[..., Any], xla: bool) -> Any:
    """Make a function that TensorFlow traces once and computes as one, with XLA or without; TensorFlow only."""
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

    Through `raw_ops`, as TensorFlow 2 has no public wrapper. That is TensorFlow on a CPU: XLA, which compiles for GPUs
    and for JAX, fuses Keras' operations by itself.

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

    if keras.backend.backend() != "tensorflow" or keras_backend.gpus():
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


def frozen(function: Any) -> tuple[Any, str, str]:
    """Freeze a TensorFlow function: one graph with its weights in it, its input's and its output's name.

    Private: the public `convert_variables_to_constants` needs a session of TensorFlow 1 and is deprecated
    (tensorflow/tensorflow#56884), and has no successor. tf2onnx itself uses this one.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    found: Any = convert_variables_to_constants_v2(function.get_concrete_function())
    return found.graph.as_graph_def(), found.inputs[0].name, found.outputs[0].name
