"""The training loop: fit one epoch, judge it on the validation images, save where we stand."""

import math
import time
from collections.abc import Callable
from typing import Any, cast

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from components.common.errors import UserError
from components.common.keras_backend import jit_compile
from components.common.progress import report
from components.common.recipe import Phase, Recipe
from components.common.taxonomy import LABELS
from components.finetune.augment import RandomAffine
from components.finetune.checkpoint import Arrays, Checkpoint
from components.finetune.sampling import Examples, epoch_rows

REPORT_SECONDS = 0.25


class EpochBatches(keras.utils.PyDataset):
    """The batches of one epoch: uint8 pixels, labels, and weights if any differs from 1."""

    def __init__(self, examples: Examples, rows: NDArray[np.int64], batch_size: int) -> None:
        """Gather `rows` of `examples`, `batch_size` at a time; the last batch may be smaller."""
        super().__init__()
        self.examples = examples
        self.rows = rows
        self.batch_size = batch_size
        self.weighted = bool(np.any(examples.weight != 1))

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        rows = self.rows[index * self.batch_size : (index + 1) * self.batch_size]
        batch = self.examples.pixels[rows], self.examples.labels[rows]
        return (*batch, self.examples.weight[rows]) if self.weighted else batch


class BatchProgress(keras.callbacks.Callback):
    """Reports the batches done in the step, a few times a second."""

    def __init__(self, done: int, total: int) -> None:
        """Continue from `done` of `total` batches."""
        super().__init__()
        self.done = done
        self.total = total
        self.reported = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the batch."""
        self.done += 1
        now = time.monotonic()
        if now - self.reported >= REPORT_SECONDS:
            self.reported = now
            report("progress", done=self.done, total=self.total)


def steps_per_epoch(examples: Examples, recipe: Recipe) -> int:
    """Batches in one epoch."""
    return math.ceil(round(examples.draws.sum()) / recipe.batch_size)


def training_model(core: keras.Model, recipe: Recipe, phase: Phase, steps: int) -> keras.Model:
    """The core behind its augmentation, compiled for one fine-tune step.

    Args:
        core: with the layers that train already chosen.
        recipe: for the augmentation.
        phase: for the learning rate.
        steps: batches in one epoch.
    """
    inputs = keras.Input(core.input_shape[1:], name="image")
    augmented = RandomAffine(**recipe.augmentation.model_dump(), name="augment")(inputs)
    model = keras.Model(inputs, core(augmented), name="training")
    rate: Any = phase.learning_rate
    if recipe.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(phase.learning_rate, decay_steps=steps * phase.epochs)
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=jit_compile(),  # pyright: ignore[reportArgumentType]
    )
    # Without this a checkpoint could not be restored: the optimizer makes its variables on first use.
    model.optimizer.build(model.trainable_variables)
    return model


def train(
    model: keras.Model,
    examples: Examples,
    validation: Examples,
    recipe: Recipe,
    phase: str,
    seed: int,
    checkpoint: Checkpoint | None,
    save: Callable[[Checkpoint], None],
) -> Checkpoint:
    """Train the remaining epochs of a step.

    An epoch is a function of the state before it, `seed` and its number alone, so going on from a
    checkpoint gives the bits of an unbroken training.

    Args:
        model: from `training_model`.
        examples: what it learns from.
        validation: what each epoch is judged on, by macro-F1.
        recipe: for the batch size and the number of epochs.
        phase: name of the step.
        seed: of the order of rows, the augmentation and the dropout.
        checkpoint: to go on from.
        save: called with the new checkpoint after each epoch.

    Returns:
        The state after the last epoch. The model holds the weights of the best one.
    """
    epochs = recipe.phase(phase).epochs
    steps = steps_per_epoch(examples, recipe)
    if checkpoint is None:
        checkpoint = Checkpoint(weights=_values(model.weights), optimizer=[], best=[], history=[])
    else:
        _assign(model.weights, checkpoint.weights)
        _assign(model.optimizer.variables, checkpoint.optimizer)
    history = list(checkpoint.history)
    best = checkpoint.best
    progress = BatchProgress(len(history) * steps, epochs * steps)
    for epoch in range(len(history), epochs):
        started = time.monotonic()
        _reseed(model, seed, epoch)
        batches = EpochBatches(examples, epoch_rows(examples.draws, seed, epoch), recipe.batch_size)
        # Keras would shuffle the batches by Python's global random state.
        fitted = model.fit(batches, shuffle=False, verbose=0, callbacks=[progress])  # pyright: ignore[reportArgumentType]
        logs = cast(dict[str, list[float]], fitted.history)
        rate = np.asarray(keras.ops.convert_to_numpy(model.optimizer.learning_rate)).item()
        val_loss, val_macro_f1 = judge(model, validation)
        if not history or val_macro_f1 > max(row["val_macro_f1"] for row in history):
            best = _values(model.weights)
        history.append(
            {
                "phase": phase,
                "epoch": epoch + 1,
                "loss": logs["loss"][0],
                "accuracy": logs["accuracy"][0],
                "val_loss": val_loss,
                "val_macro_f1": val_macro_f1,
                "learning_rate": rate,
                "seconds": time.monotonic() - started,
            }
        )
        checkpoint = Checkpoint(_values(model.weights), _values(model.optimizer.variables), best, history)
        save(checkpoint)
        report("epoch", phase=phase, epoch=epoch + 1, epochs=epochs, loss=logs["loss"][0], val_macro_f1=val_macro_f1)
        print(  # into the step's log
            f"{phase} epoch {epoch + 1}/{epochs}: loss {logs['loss'][0]:.4f}, accuracy {logs['accuracy'][0]:.3f}, "
            f"val_loss {val_loss:.4f}, val macro-F1 {val_macro_f1:.3f}, {history[-1]['seconds']:.1f} s",
            flush=True,
        )
    _assign(model.weights, best)
    return checkpoint


def judge(model: keras.Model, validation: Examples, batch_size: int = 64) -> tuple[float, float]:
    """Loss (mean over images) and macro-F1 over the seven labels; a label that is never met counts 0.

    Raises:
        UserError: the training diverged.
    """
    probabilities = model.predict(validation.pixels, batch_size=batch_size, verbose=0)  # pyright: ignore[reportArgumentType]
    if not np.isfinite(probabilities).all():
        raise UserError(
            "The training diverged: the model gives NaN for validation images; "
            "lower the learning rate of this step in the recipe."
        )
    every = list(range(len(LABELS)))
    of_truth = probabilities[np.arange(len(validation.labels)), validation.labels]
    loss = -np.log(np.maximum(of_truth, keras.config.epsilon())).mean()  # clipped as Keras clips the training loss
    predicted = probabilities.argmax(axis=1)
    macro_f1 = f1_score(validation.labels, predicted, labels=every, average="macro", zero_division=0)  # pyright: ignore[reportArgumentType]
    return float(loss), float(macro_f1)


def _reseed(model: keras.Model, seed: int, epoch: int) -> None:
    """Make this epoch's augmentation and dropout a function of (seed, epoch).

    Keras keeps the generators' states out of `.keras` and `.weights.h5` files, so a restarted
    training would otherwise repeat, or jump in, their random numbers.
    """
    states = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    for index, state in enumerate(states):
        words = np.random.SeedSequence([seed, epoch, index]).generate_state(2)
        state.assign((words >> 1).astype(state.dtype))  # JAX's and TensorFlow's types of it differ in sign


def _values(variables: list[Any]) -> Arrays:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def _assign(variables: list[Any], values: Arrays) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
