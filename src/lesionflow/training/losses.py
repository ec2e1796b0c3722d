"""The training loss, beyond plain cross-entropy: soft targets."""

from collections.abc import Callable
from typing import Any

from keras import ops

from lesionflow.recipe import Recipe

_SMALLEST = 1e-30
"""Below it a probability counts as this. Keras clips at 1e-7 and so learns nothing from its worst errors."""


def make_loss(recipe: Recipe) -> str | Callable[[Any, Any], Any]:
    """Make what `compile` takes as the loss.

    Args:
        recipe: for `mix`.

    Returns:
        Keras' own cross-entropy of labels if images are not mixed. Otherwise a function of shares of the
        classes, shape (n, classes), and of probabilities of the same shape, to losses, shape (n,).
    """
    return "sparse_categorical_crossentropy" if recipe.mix == "none" else _of_shares


def _of_shares(truth: Any, probabilities: Any) -> Any:
    shares: Any = ops.cast(truth, "float32")
    agreement: Any = ops.sum(shares * ops.log(ops.maximum(probabilities, _SMALLEST)), axis=-1)
    return -agreement
