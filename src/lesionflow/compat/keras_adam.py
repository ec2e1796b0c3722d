"""Keras' Adam, as one operation per variable where the backend has it."""

from typing import Any

import keras

from lesionflow.compat.tensorflow_graph import adam_in_one_operation


class Adam(keras.optimizers.Adam):
    """Keras' Adam, as one operation per variable where the backend has it.

    Keras writes the step as a dozen operations for each of a hundred variables, which on TensorFlow and a CPU take
    their share of each step and of its tracing. Its moments have no public names: `_get_variable_index`, `_momentums`
    and `_velocities` are read here, and held to Keras' own step by tests/unit/compat/test_keras.py. No issue known.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable."""
        index = self._get_variable_index(variable)
        moments = self._momentums[index], self._velocities[index]
        done: Any = self.iterations
        constants = self.beta_1, self.beta_2, self.epsilon
        if not adam_in_one_operation(variable, *moments, gradient, learning_rate, done + 1, *constants):
            super().update_step(gradient, variable, learning_rate)
