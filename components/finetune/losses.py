"""The training loss, beyond plain cross-entropy: soft targets."""

from collections.abc import Callable
from typing import Any

from keras import ops

from components.common.recipe import Recipe
from components.common.taxonomy import LABELS

_SMALLEST = 1e-30
"""Below it a probability counts as this. Keras clips at 1e-7 and so learns nothing from its worst errors."""


def make_loss(recipe: Recipe) -> str | Callable[[Any, Any], Any]:
    """What `compile` takes as the loss.

    Args:
        recipe: for `label_smoothing` and `mix`.

    Returns:
        Keras' own cross-entropy if the recipe asks for nothing else. Otherwise a function of labels, shape
        (n,), or with `mix` of shares of the classes, shape (n, 7), and of probabilities, shape (n, 7), to
        losses, shape (n,).
    """
    if not recipe.label_smoothing and recipe.mix == "none":
        return "sparse_categorical_crossentropy"
    classes = len(LABELS)

    def loss(truth: Any, probabilities: Any) -> Any:
        if recipe.mix == "none":
            truth = ops.one_hot(ops.reshape(ops.cast(truth, "int32"), (-1,)), classes)
        shares: Any = ops.cast(truth, "float32")
        targets = shares * (1 - recipe.label_smoothing) + recipe.label_smoothing / classes
        agreement: Any = ops.sum(targets * ops.log(ops.maximum(probabilities, _SMALLEST)), axis=-1)
        return -agreement

    return loss
