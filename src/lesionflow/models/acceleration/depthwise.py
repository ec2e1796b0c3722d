"""Depthwise convolution as a sum of shifted images: what XLA computes fast on a CPU, unlike its own convolution."""

from typing import Any, Literal


def shifted_depthwise(images: Any, kernel: Any, stride: int, padding: Literal["same", "valid"]) -> Any:
    """Compute what `keras.ops.depthwise_conv` gives, a term for each place of the kernel.

    XLA's grouped convolution is a plain loop on a CPU; of a sum it makes one fused loop, and so of the gradients.

    Args:
        images: shape (n, height, width, channels), height and width known.
        kernel: shape (rows, columns, channels, 1).
        stride: in both directions.
        padding: as Keras names it.
    """
    from keras import ops

    sizes, places = images.shape[1:3], kernel.shape[:2]
    if padding == "same":
        needed = [max((-(-size // stride) - 1) * stride + of - size, 0) for size, of in zip(sizes, places, strict=True)]
        images = ops.pad(images, [(0, 0), *((pad // 2, pad - pad // 2) for pad in needed), (0, 0)])
    ends = [size - of for size, of in zip(images.shape[1:3], places, strict=True)]  # where the last window begins
    total: Any = 0.0
    for row in range(places[0]):
        for column in range(places[1]):
            seen = images[:, row : row + ends[0] + 1 : stride, column : column + ends[1] + 1 : stride]
            total = total + seen * kernel[row, column, :, 0]
    return total
