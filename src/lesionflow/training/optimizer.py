"""The optimizer of a fine-tune step, and how its learning rate runs."""

from typing import Any

import keras

from lesionflow.recipe import Phase, Recipe


def make_optimizer(
    recipe: Recipe, phase: Phase, steps: int, adam: type[keras.optimizers.Adam] = keras.optimizers.Adam
) -> keras.optimizers.Optimizer:
    """Make the optimizer for one fine-tune step, not built yet.

    Args:
        recipe: for everything but the learning rate's peak.
        phase: for that.
        steps: batches in one epoch.
        adam: the class to make it of, see `models.acceleration`.
    """
    rate = learning_rate(recipe, phase, steps)
    return adam(rate, use_ema=True, ema_momentum=recipe.ema) if recipe.ema else adam(rate)


def learning_rate(recipe: Recipe, phase: Phase, steps: int) -> Any:
    """Make the learning rate as Keras optimizers take it: constant, or a cosine that falls to zero."""
    if recipe.schedule == "constant":
        return phase.learning_rate
    return keras.optimizers.schedules.CosineDecay(phase.learning_rate, decay_steps=steps * phase.epochs)
