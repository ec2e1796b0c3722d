"""Frozen batch normalization as a part of the convolution before it: the same function in fewer operations."""

from typing import TYPE_CHECKING, Any

import numpy as np

from lesionflow.compat.keras_backend import xla_on_cpu
from lesionflow.models.acceleration.depthwise import shifted_depthwise

if TYPE_CHECKING:
    import keras


def folded(core: "keras.Model") -> "keras.Model":
    """Make a model that computes what `core` does, its frozen batch normalizations folded into convolutions.

    Frozen, a normalization is a factor `gamma / sqrt(variance + epsilon)` and an offset `beta - mean * factor` for each
    channel (Ioffe and Szegedy 2015, algorithm 2), and a convolution is linear in its kernel: scaling the few numbers of
    the kernel spares a pass over every feature map, and its gradient two. The kernel's gradient is that of `core` too.
    Where XLA compiles for a CPU, the folded depthwise convolutions are computed as sums, see `shifted_depthwise`.

    Args:
        core: a functional model, with the layers that train already chosen. It and the result share all that trains;
            its normalizations must stay as they are from here on.

    Returns:
        The same function to single precision. In half precision, where the scaled kernel would be rounded
        once more, nothing is folded.
    """
    import keras

    convolutions: dict[int, tuple[Any, Any, Any]] = {}

    def inner(layer: Any) -> Any:
        return folded(layer) if isinstance(layer, keras.Model) else layer

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        before = convolutions.get(id(args[0]))
        if before and isinstance(layer, keras.layers.BatchNormalization) and not layer.trainable:
            _, convolution, images = before
            return _folded_layer(convolution, layer)(images)
        outputs = layer(*args, **kwargs)
        if _can_fold(layer):
            convolutions[id(outputs)] = outputs, layer, args[0]  # the tensor too, or its id might be given again
        return outputs

    return keras.models.clone_model(core, clone_function=inner, call_function=call)


def _can_fold(layer: Any) -> bool:
    """Whether it is a plain convolution with nothing but its kernel, channels last, in single precision."""
    import keras

    return (
        type(layer) in (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
        and not layer.use_bias
        and layer.activation is keras.activations.linear
        and layer.data_format == "channels_last"
        and tuple(layer.dilation_rate) == (1, 1)
        and len(set(layer.strides)) == 1
        and layer.compute_dtype == "float32"
    )


def _folded_layer(convolution: Any, normalization: Any) -> "keras.layers.Layer":
    import keras

    gamma, beta, mean, variance = (keras.ops.convert_to_numpy(weight) for weight in normalization.weights)
    factor = gamma / np.sqrt(variance + normalization.epsilon)
    offset = beta - mean * factor
    depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
    if depthwise:  # its kernel's last two axes are channels and filters of each
        factor = factor.reshape(convolution.kernel.shape[-2:])
    convolve: Any = keras.ops.depthwise_conv if depthwise else keras.ops.conv

    class Folded(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__(name=convolution.name)
            self.convolution = convolution

        def call(self, images: Any) -> Any:
            kernel: Any = convolution.kernel * factor
            if depthwise and xla_on_cpu() and kernel.shape[-1] == 1:
                convolved: Any = shifted_depthwise(images, kernel, convolution.strides[0], convolution.padding)
            else:
                convolved = convolve(images, kernel, convolution.strides, convolution.padding, "channels_last")
            return convolved + offset

    return Folded()
