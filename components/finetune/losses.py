"""The training loss, beyond plain cross-entropy: a shift by class frequency, soft targets."""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from components.common.recipe import Recipe
from components.common.taxonomy import LABELS

_SMALLEST = 1e-30
"""Below it a probability counts as this. Keras clips at 1e-7 and so learns nothing from its worst errors."""


def make_loss(recipe: Recipe, class_counts: NDArray[np.integer[Any]] | None) -> str | Callable[[Any, Any], Any]:
    """What `compile` takes as the loss.

    Args:
        recipe: for `balance`, `tau`, `label_smoothing` and `mix`.
        class_counts: training images of each class, shape (7,); needed by the balance `logit-adjusted` only.

    Returns:
        Keras' own cross-entropy if the recipe asks for nothing else. Otherwise a function of labels, shape
        (n,), or with `mix` of shares of the classes, shape (n, 7), and of probabilities, shape (n, 7), to
        losses, shape (n,).
    """
    adjusted = recipe.balance == "logit-adjusted"
    if not (adjusted or recipe.label_smoothing or recipe.mix != "none"):
        return "sparse_categorical_crossentropy"
    classes = len(LABELS)
    shift = np.zeros(classes, np.float32)
    if adjusted:
        if class_counts is None:
            raise ValueError("the balance logit-adjusted needs the class counts")
        shift = (recipe.tau * log_prior(class_counts)).astype(np.float32)

    def loss(truth: Any, probabilities: Any) -> Any:
        if recipe.mix == "none":
            truth = ops.one_hot(ops.reshape(ops.cast(truth, "int32"), (-1,)), classes)
        shares: Any = ops.cast(truth, "float32")
        targets = shares * (1 - recipe.label_smoothing) + recipe.label_smoothing / classes
        # The probabilities are a softmax, so their logarithms are the logits but for a constant per image.
        logits: Any = ops.log(ops.maximum(probabilities, _SMALLEST))
        agreement: Any = ops.sum(targets * ops.log_softmax(logits + shift), axis=-1)
        return -agreement

    return loss


def log_prior(class_counts: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Logarithm of each class's share of the training images; a class without any counts as one image.

    Added to the logits in training, and left out in prediction, it makes the classifier the one that is
    best by the mean of the classes' errors: the logit-adjusted loss (Menon et al. 2021, arXiv 2007.07314,
    equation 10, there with tau times it). With tau = 1 that is balanced softmax (Ren et al. 2020,
    arXiv 2007.10740, equation 4): n_y e^f_y / sum_i n_i e^f_i.
    """
    counts = np.maximum(class_counts, 1)
    return np.log(counts / counts.sum())
