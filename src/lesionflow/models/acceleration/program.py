"""How TensorFlow computes the core, in training and after: in shards of a batch on a CPU, with XLA on a GPU."""

from typing import TYPE_CHECKING, Any, cast

from joblib import cpu_count  # knows affinity and a container's CPU quota

from lesionflow.compat import keras_backend
from lesionflow.compat.tensorflow_graph import tensorflow_program

if TYPE_CHECKING:
    import keras


def core_shards(batch_size: int) -> int:
    """Choose into how many parts to divide each batch on the CPU.

    One image takes many small operations, and two cores at half a batch each lose less time to meeting at
    the end of every operation than two cores at the same operation do: see `benchmarks/throughput.py`.
    More than two cores were not measured, hence no shards below 16 images.
    """
    return max(1, min(cpu_count(), batch_size // 16))


def compiled_core(core: "keras.Model", shards: int = 1, xla: bool = True) -> "keras.layers.Layer":
    """Make the core as another model should call it on TensorFlow: with a GPU compiled with XLA, else in `shards`.

    XLA on TensorFlow's CPU makes a step of EfficientNetV2B0 several times slower. On JAX the core itself.

    Args:
        core: the model to call.
        shards: parts of a batch on a CPU.
        xla: whether a GPU has enough to do with it to be worth the compilation, which takes longer than a few images.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return core
    if keras_backend.gpus():
        return program_layer(core, xla=True) if xla else core
    return program_layer(core, shards) if shards > 1 and not _learns_from_batches(core) else core


def _learns_from_batches(layer: Any) -> bool:
    """Whether batch normalization trains in it: its statistics are those of the whole batch."""
    import keras

    if isinstance(layer, keras.Model):
        return any(_learns_from_batches(inner) for inner in layer.layers)
    return isinstance(layer, keras.layers.BatchNormalization) and layer.trainable


def program_layer(core: "keras.Model", shards: int = 1, xla: bool = False) -> "keras.layers.Layer":
    """Make a layer that is `core`, with its weights, called on each of `shards` parts of a batch; TensorFlow only.

    Args:
        core: traced once, however many shards there are, which can run at once.
        shards: parts of a batch.
        xla: whether XLA makes one program of the core forwards and one backwards.
    """
    import keras

    class Program(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__(name=core.name)
            self.core = core
            self.program = tensorflow_program(core, xla)

        def call(self, inputs: Any, training: bool = False) -> Any:
            if shards == 1:
                return self.program(inputs, training=training)
            count = cast(Any, keras.ops.shape(inputs))[0]
            # TensorFlow's operations do not all bear a shard without images: none has.
            filled: Any = keras.ops.maximum(count, shards)
            images: Any = keras.ops.take(inputs, keras.ops.arange(filled) % count, axis=0)
            ends = [filled * part // shards for part in range(shards + 1)]
            parts = [self.program(images[ends[part] : ends[part + 1]], training=training) for part in range(shards)]
            return cast(Any, keras.ops.concatenate(parts, axis=0))[:count]

        def compute_output_spec(self, inputs: Any, training: bool = False) -> Any:
            return core.compute_output_spec(inputs, training=training)

    return Program()
