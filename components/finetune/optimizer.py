"""The optimizer of a fine-tune step, and how its learning rate runs over time and over the layers."""

from typing import Any

import keras

from components.common.backbone import blocks
from components.common.keras_backend import adam_in_one_operation
from components.common.recipe import Phase, Recipe


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


class LayerwiseAdamW(Adam):
    """Adam with a learning rate and a decoupled weight decay for each variable.

    Keras' AdamW decays every variable by the one learning rate, whatever rate it learns with.
    """

    def __init__(self, learning_rate: Any, rates: list[float], decays: list[float], **options: Any) -> None:
        """Make the optimizer.

        Args:
            learning_rate: number or schedule.
            rates: factor of the learning rate for each variable, in the order of `build`.
            decays: share of each variable that a step of learning rate 1 would take away
                (Loshchilov & Hutter 2019, arXiv 1711.05101, algorithm 2).
            **options: of `keras.optimizers.Adam`.
        """
        super().__init__(learning_rate, **options)
        self.rates = rates
        self.decays = decays

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Decay and update one variable."""
        index = self._get_variable_index(variable)
        rate = keras.ops.cast(learning_rate, variable.dtype) * self.rates[index]
        if self.decays[index]:
            self.assign_sub(variable, variable * (rate * self.decays[index]))
        super().update_step(gradient, variable, rate)


def make_optimizer(core: keras.Model, recipe: Recipe, phase: Phase, steps: int) -> keras.optimizers.Optimizer:
    """The optimizer for one fine-tune step, not built yet.

    Args:
        core: with the layers that train already chosen.
        recipe: for everything but the learning rate's peak.
        phase: for that.
        steps: batches in one epoch.
    """
    rate = learning_rate(recipe, phase, steps)
    options: dict[str, Any] = {"use_ema": True, "ema_momentum": recipe.ema} if recipe.ema else {}
    if recipe.weight_decay == 0 and recipe.layer_decay == 1:
        return Adam(rate, **options)
    # Biases and the scales of normalisation are not decayed: they hold no redundancy to take away.
    decays = [recipe.weight_decay * (len(variable.shape) > 1) for variable in core.trainable_variables]
    return LayerwiseAdamW(rate, layer_rates(core, recipe.layer_decay), decays, **options)


def learning_rate(recipe: Recipe, phase: Phase, steps: int) -> Any:
    """The learning rate, as Keras optimizers take it: constant, or a cosine, after a linear warm-up if asked for."""
    if recipe.schedule == "constant":
        return phase.learning_rate
    total = steps * phase.epochs
    if not recipe.warmup:
        return keras.optimizers.schedules.CosineDecay(phase.learning_rate, decay_steps=total)
    rising = max(1, round(recipe.warmup * total))
    return keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=max(1, total - rising), warmup_target=phase.learning_rate, warmup_steps=rising
    )


def layer_rates(core: keras.Model, decay: float) -> list[float]:
    """The factor of the learning rate for each trainable variable, in Keras' order.

    The classifier's last layer learns with the full rate, and each block of the backbone with `decay`
    times the rate of the block after it (Clark et al. 2020, arXiv 2003.10555, section 3.1;
    Bao et al. 2022, arXiv 2106.08254, appendix).
    """
    parts = blocks(core)
    rates = {
        id(variable): decay ** (len(parts) - index)
        for index, (_, layers) in enumerate(parts)
        for layer in layers
        for variable in layer.variables
    }
    return [rates.get(id(variable), 1.0) for variable in core.trainable_variables]
