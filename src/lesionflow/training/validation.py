"""How good a model is on the validation images."""

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from lesionflow.compat.keras_devices import whole_shares
from lesionflow.compat.tensorflow_graph import untuned
from lesionflow.errors import UserError
from lesionflow.training.batches import EpochBatches
from lesionflow.training.sampling import Examples


def validate(model: keras.Model, validation: Examples) -> tuple[float, float]:
    """Compute the loss (mean over images) and macro-F1 over all classes; a class that is never met counts 0.

    Raises:
        UserError: the training diverged.
    """
    probabilities = outputs(model, validation)
    count = len(probabilities)
    if not np.isfinite(probabilities).all():
        raise UserError(
            "The training diverged: the model gives NaN for validation images; "
            "lower the learning rate of this step in the recipe."
        )
    every = list(range(probabilities.shape[1]))
    of_truth = probabilities[np.arange(count), validation.labels]
    loss = -np.log(np.maximum(of_truth, keras.config.epsilon())).mean()  # clipped as Keras clips the training loss
    predicted = probabilities.argmax(axis=1)
    macro_f1 = f1_score(validation.labels, predicted, labels=every, average="macro", zero_division=0)  # pyright: ignore[reportArgumentType]
    return float(loss), float(macro_f1)


def outputs(model: keras.Model, examples: Examples, batch_size: int = 64) -> NDArray[np.float32]:
    """Compute what a model makes of all examples, outside training."""
    # Not the array itself, which may be in a file, and of which Keras would make a tensor as large as the whole.
    count, batch_size = len(examples.labels), whole_shares(batch_size)
    # TensorFlow would trace the network once more for a last batch of another size: seconds.
    rows = np.resize(np.arange(count), -(-count // batch_size) * batch_size)
    return model.predict(untuned(EpochBatches(examples, rows, batch_size)), verbose=0)[:count]  # pyright: ignore[reportArgumentType]
