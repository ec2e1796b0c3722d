"""The model that users get: the core behind its own resizing, with test-time augmentation."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

RESIZING = "frame"
"""Name of the layer that makes whole images as large as those of the training."""


def fit_to_input(images: Any, size: int) -> Any:
    """Make whole images or windows, (n, side, side, 3), as large as the network input, (n, size, size, 3).

    Not by a Resizing layer: a second one in a model is what TensorFlow cannot write into a SavedModel, for a variable
    that it does not track. And not antialiased, which is no ONNX operation. Nor are the crops of the training.
    """
    import keras

    if images.shape[1] == size:
        return images
    return keras.ops.image.resize(images, (size, size), data_format="channels_last")


CORNER = 0.8
"""Side of a window at a corner, as a share of the image's: of 0.67, 0.8 and both, the best on validation images."""


def deployable(core: "keras.Model", decode_size: int, test_time_augmentation: int = 1) -> "keras.Model":
    """Build the model that users get: RGB, uint8 or float in 0..255, at any size; it resizes by itself.

    Shares its weights with `core`.

    Args:
        core: from `build_core`.
        decode_size: side in pixels of the square to which it resizes first, as decoding did for the training.
        test_time_augmentation: average the probabilities over so many views of the image, see the recipe;
            a lesion has no upright.
    """
    import keras

    inputs = keras.Input((None, None, 3), name="image")
    # Antialiased as Pillow's resize is, which made the pixels that the core was trained on.
    resizing: Any = keras.layers.Resizing(decode_size, decode_size, antialias=True, name=RESIZING)
    # Else its own default, training=True, holds for all layers after it where the model is called without the argument.
    frame: Any = resizing(inputs, training=False)
    size = core.input_shape[1]
    whole = fit_to_input(frame, size)
    if test_time_augmentation == 1:
        return keras.Model(inputs, core(whole), name="lesionflow")
    mirrors = (1, 2, (1, 2))
    seen = [whole, *(keras.ops.flip(whole, axes) for axes in mirrors)]
    if test_time_augmentation == 8:
        first = decode_size - round(CORNER * decode_size)
        near, far = slice(decode_size - first), slice(first, decode_size)
        corners = [frame[:, y, x] for y in (near, far) for x in (near, far)]
        windows = [fit_to_input(corner, size) for corner in corners]
        seen += [windows[0], *(keras.ops.flip(w, axes) for w, axes in zip(windows[1:], mirrors, strict=True))]
    # As one batch: called for each view, the core would stand in the exported graphs as many times.
    each: Any = core(keras.ops.concatenate(seen, axis=0))
    mean = keras.ops.mean(keras.ops.reshape(each, (test_time_augmentation, -1, core.output_shape[-1])), axis=0)
    return keras.Model(inputs, mean, name="lesionflow")
