"""The optimizer of a fine-tune step, and how its learning rate runs."""

from typing import Any

import keras

from lesionflow.compat.keras_backend import adam_in_one_operation
from lesionflow.recipe import Phase, Recipe


class Adam(keras.optimizers.Adam):
    """Keras' Adam, as one operation per variable where the backend has it.

    Keras writes the step as a dozen operations for each of a hundred variables: on TensorFlow and a CPU they took 4 %
    of each step of EfficientNetV2B0 and, traced and optimised, 1.5 seconds of each fine-tune step.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable."""
        index = self._get_variable_index(variable)
        moments = self._momentums[index], self._velocities[index]
        done: Any = self.iterations
        constants = self.beta_1, self.beta_2, self.epsilon
        if not adam_in_one_operation(variable, *moments, gradient, learning_rate, done + 1, *constants):
            super().update_step(gradient, variable, learning_rate)


def make_optimizer(recipe: Recipe, phase: Phase, steps: int) -> keras.optimizers.Optimizer:
    """The optimizer for one fine-tune step, not built yet.

    Args:
        recipe: for everything but the learning rate's peak.
        phase: for that.
        steps: batches in one epoch.
    """
    rate = learning_rate(recipe, phase, steps)
    options: dict[str, Any] = {"use_ema": True, "ema_momentum": recipe.ema} if recipe.ema else {}
    return Adam(rate, **options)


def learning_rate(recipe: Recipe, phase: Phase, steps: int) -> Any:
    """The learning rate, as Keras optimizers take it: constant, or a cosine that falls to zero."""
    if recipe.schedule == "constant":
        return phase.learning_rate
    return keras.optimizers.schedules.CosineDecay(phase.learning_rate, decay_steps=steps * phase.epochs)
