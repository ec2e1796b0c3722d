"""The one way to make a network compute faster; what it computes stays, to the rounding of single precision."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lesionflow.compat.keras_backend import compile_with_xla, prepare
from lesionflow.models.acceleration.folding import folded
from lesionflow.models.acceleration.program import compiled_core, core_shards

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Accelerated:
    """What stands in a model's place, with its weights."""

    layer: "keras.layers.Layer"
    """To be called as the model is."""
    adam: "type[keras.optimizers.Adam]"
    """To train it with: Keras' Adam, in one operation per variable where the backend has it."""
    jit_compile: bool
    """For `compile` of a model around it."""


def accelerate(model: "keras.Model", batch_size: int, *, learning: bool) -> Accelerated:
    """Make a network that computes what `model` does, with its weights, in less time.

    Frozen normalizations become a part of the convolutions before them (`folding`); where XLA compiles for a CPU,
    depthwise convolutions are sums of shifted images (`depthwise`); on TensorFlow the batch is divided among the cores
    of a CPU, or XLA compiles the network for a GPU (`program`); Adam takes one operation per variable.

    Args:
        model: images to probabilities, with the layers that train already chosen; or what follows the backbone alone,
            of which there is nothing to make faster.
        batch_size: images at a time.
        learning: whether it will be trained: for a few images, XLA's compilation takes longer than it spares.
    """
    from lesionflow.compat.keras_adam import Adam

    if len(model.input_shape) == 2:  # features
        return Accelerated(model, Adam, compile_with_xla())
    layer = compiled_core(folded(model), core_shards(batch_size), xla=learning)
    return Accelerated(layer, Adam, compile_with_xla())


def prepare_for(batch_size: int, whole: bool = False) -> None:
    """Divide the machine's cores for `accelerate`; call before the first `import keras`.

    Args:
        batch_size: images at a time.
        whole: whether batches stay whole, as those from which normalization learns do: all threads at each operation.
    """
    prepare(1 if whole else core_shards(batch_size))
