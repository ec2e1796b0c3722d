"""The training loop: fit one epoch, judge it on the validation images, save where we stand."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from lesionflow.compat.keras_backend import compile_with_xla, untuned, whole_shares
from lesionflow.errors import Preempted, UserError
from lesionflow.models.acceleration.folding import folded
from lesionflow.models.acceleration.program import compiled_core, core_shards
from lesionflow.recipe import Phase, PhaseName, Recipe
from lesionflow.runtime.progress import report
from lesionflow.training.augment import augment
from lesionflow.training.checkpoint import Checkpoint
from lesionflow.training.losses import make_loss
from lesionflow.training.mixing import Mixing
from lesionflow.training.optimizer import make_optimizer
from lesionflow.training.part_epoch import EpochPart, assign, build_metrics, seed_generators, values
from lesionflow.training.sampling import Examples, epoch_rows

REPORT_SECONDS = 0.25


class EpochBatches(keras.utils.PyDataset):
    """The batches of one epoch: uint8 pixels, labels, and weights if any differs from 1."""

    def __init__(
        self,
        examples: Examples,
        rows: NDArray[np.int64],
        batch_size: int,
        mixing: Mixing | None = None,
        first: int = 0,
    ) -> None:
        """Gather `rows` of `examples`, `batch_size` at a time; the last batch may be smaller.

        Args:
            examples: all of them.
            rows: of the epoch, or of what is left of it.
            batch_size: images in a batch.
            mixing: mixes the images of each batch; the labels are shares of the classes then.
            first: number in the epoch of the first of these batches.
        """
        super().__init__()
        self.mixing = mixing
        self.first = first
        self.examples = examples
        self.rows = rows
        self.batch_size = batch_size
        self.weighted = bool(np.any(examples.weight != 1))

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        rows = self.rows[index * self.batch_size : (index + 1) * self.batch_size]
        batch = self.examples.pixels[rows], self.examples.labels[rows], self.examples.weight[rows]
        if self.mixing:
            batch = self.mixing.mix(self.first + index, *batch)
        return batch if self.weighted else batch[:2]


class Unaveraged(keras.callbacks.Callback):
    """Keeps what the weights were before `fit`, as it ends, puts their moving average in their place."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Copy them."""
        self.weights = values(cast(Any, self.model).trainable_variables)


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
    return math.ceil(round(examples.sampling_weights.sum()) / recipe.batch_size)


def training_model(
    core: keras.Model,
    recipe: Recipe,
    phase: Phase,
    steps: int,
) -> keras.Model:
    """The core behind its augmentation, compiled for one fine-tune step.

    Args:
        core: with the layers that train already chosen; or only its head, see `features.head_of`.
        recipe: for the augmentation, the loss and the optimizer.
        phase: for the learning rate.
        steps: batches in one epoch.
    """
    if len(core.input_shape) == 2:
        inputs = keras.Input(core.input_shape[1:], name="features")
        model = keras.Model(inputs, core(inputs), name="training")
    else:
        inputs = keras.Input((recipe.decode_size, recipe.decode_size, 3), name="image")
        called = compiled_core(folded(core), core_shards(recipe.batch_size))
        model = keras.Model(inputs, called(augment(inputs, recipe.augmentation, recipe.input_size)), name="training")
    model.compile(
        optimizer=make_optimizer(recipe, phase, steps),
        loss=make_loss(recipe),  # pyright: ignore[reportArgumentType]
        metrics=["accuracy"],
        jit_compile=compile_with_xla(),  # pyright: ignore[reportArgumentType]
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
    asked_to_stop: Callable[[], bool] = lambda: False,
) -> Checkpoint:
    """Train the remaining epochs of a step.

    An epoch is a function of the state before it, `seed` and its number alone, so going on from a
    checkpoint gives the bits of an unbroken training.

    What the step starts from is a candidate for the best epoch, too: training may make it worse. Not in the head
    step, whose start has a random head. The history has no row of it: it is the last step's best epoch.

    Args:
        model: from `training_model`.
        examples: what it learns from.
        validation: what each epoch is judged on, by macro-F1.
        recipe: for the batch size and the number of epochs.
        phase: name of the step.
        seed: of the order of rows, the augmentation and the dropout.
        checkpoint: to go on from.
        save: called with the new checkpoint after each epoch.
        asked_to_stop: whether to save after this batch and stop.

    Returns:
        The state after the last epoch. The model holds the weights of the best one, or of the start.

    Raises:
        Preempted: it was asked to stop, and there was more to train.
    """
    epochs = recipe.phase(phase).epochs
    steps = steps_per_epoch(examples, recipe)
    if checkpoint is None:
        start = None if phase == PhaseName.HEAD else judge(model, validation)[1]
        checkpoint = Checkpoint(values(model.weights), [], best=values(model.weights), history=[], start=start)
        if start is not None:
            print(f"{phase} starts with val macro-F1 {start:.3f}", flush=True)
    else:
        assign(model.weights, checkpoint.weights)
        assign(model.optimizer.variables, checkpoint.optimizer)
    history = list(checkpoint.history)
    begun = checkpoint.under_way
    progress = BatchProgress(len(history) * steps + (begun.batches if begun else 0), epochs * steps)
    unaveraged = Unaveraged()
    first = len(history)
    for epoch in range(first, epochs):
        part = EpochPart(model, checkpoint.under_way, asked_to_stop)
        _reseed(model, seed, epoch)
        rows = epoch_rows(examples.sampling_weights, seed, epoch)
        rows = np.resize(rows, whole_shares(len(rows)))  # filled up with the first ones
        left = rows[part.batches * recipe.batch_size :]
        mixing = None
        if recipe.mix != "none":
            mixing = Mixing(recipe.mix, recipe.mix_alpha, seed, epoch, model.output_shape[-1])
        batches = EpochBatches(examples, left, recipe.batch_size, mixing, part.batches)
        if epoch == first:
            build_metrics(model, batches[0])
        # Keras would shuffle the batches by Python's global random state.
        fitted = model.fit(untuned(batches), shuffle=False, verbose=0, callbacks=[progress, part, unaveraged])  # pyright: ignore[reportArgumentType]
        if recipe.ema:
            assign(model.trainable_variables, unaveraged.weights)
        if part.batches * recipe.batch_size < len(rows):
            state = {"weights": values(model.weights), "optimizer": values(model.optimizer.variables)}
            save(replace(checkpoint, **state, under_way=part.under_way()))
            raise Preempted(f"Stopped by SIGTERM in epoch {epoch + 1} after batch {part.batches} of {steps}.")
        logs = cast(dict[str, list[float]], fitted.history)
        rate = np.asarray(keras.ops.convert_to_numpy(model.optimizer.learning_rate)).item()
        if recipe.ema:
            model.optimizer.finalize_variable_values(model.trainable_variables)
            # On JAX weight and average are now one buffer, which `predict` would give away: a copy, then.
            assign(model.trainable_variables, values(model.trainable_variables))
        val_loss, val_macro_f1 = judge(model, validation)
        best = values(model.weights) if val_macro_f1 > checkpoint.reached[1] else checkpoint.best
        if recipe.ema:
            assign(model.trainable_variables, unaveraged.weights)
        history.append(
            {
                "phase": phase,
                "epoch": epoch + 1,
                "loss": logs["loss"][0],
                "accuracy": logs["accuracy"][0],
                "val_loss": val_loss,
                "val_macro_f1": val_macro_f1,
                "learning_rate": rate,
                "seconds": part.seconds,
            }
        )
        now = values(model.weights), values(model.optimizer.variables)
        checkpoint = Checkpoint(*now, best, history, checkpoint.start)
        save(checkpoint)
        report("epoch", phase=phase, epoch=epoch + 1, epochs=epochs, loss=logs["loss"][0], val_macro_f1=val_macro_f1)
        print(  # into the step's log
            f"{phase} epoch {epoch + 1}/{epochs}: loss {logs['loss'][0]:.4f}, accuracy {logs['accuracy'][0]:.3f}, "
            f"val_loss {val_loss:.4f}, val macro-F1 {val_macro_f1:.3f}, {history[-1]['seconds']:.1f} s",
            flush=True,
        )
        if asked_to_stop() and epoch + 1 < epochs:
            raise Preempted(f"Stopped by SIGTERM after epoch {epoch + 1} of {epochs}.")
    assign(model.weights, checkpoint.best)
    return checkpoint


def judge(model: keras.Model, validation: Examples) -> tuple[float, float]:
    """Loss (mean over images) and macro-F1 over all classes; a class that is never met counts 0.

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
    """What a model makes of all examples, outside training."""
    # Not the array itself, which may be in a file, and of which Keras would make a tensor as large as the whole.
    count, batch_size = len(examples.labels), whole_shares(batch_size)
    # TensorFlow would trace the network once more for a last batch of another size: seconds.
    rows = np.resize(np.arange(count), -(-count // batch_size) * batch_size)
    return model.predict(untuned(EpochBatches(examples, rows, batch_size)), verbose=0)[:count]  # pyright: ignore[reportArgumentType]


def _reseed(model: keras.Model, seed: int, epoch: int) -> None:
    """Make this epoch's augmentation and dropout a function of (seed, epoch).

    Keras keeps the generators' states out of `.keras` and `.weights.h5` files, so a restarted
    training would otherwise repeat, or jump in, their random numbers.
    """
    for index, state in enumerate(seed_generators(model)):
        words = np.random.SeedSequence([seed, epoch, index]).generate_state(2)
        state.assign((words >> 1).astype(state.dtype))  # JAX's and TensorFlow's types of it differ in sign
