"""The training loop: fit one epoch, evaluate it on the validation images, save where we stand."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import keras
import numpy as np
from numpy.typing import NDArray

from lesionflow.compat.keras_devices import whole_shares
from lesionflow.compat.tensorflow_graph import untuned
from lesionflow.errors import Preempted
from lesionflow.recipe import PhaseName, Recipe
from lesionflow.runtime.progress import report
from lesionflow.training.batches import EpochBatches, steps_per_epoch
from lesionflow.training.callbacks import BatchProgress, Unaveraged
from lesionflow.training.checkpoint import Arrays, Checkpoint
from lesionflow.training.history import EpochRow
from lesionflow.training.mixing import Mixing
from lesionflow.training.part_epoch import EpochPart, assign, build_metrics, seed_generators, values
from lesionflow.training.sampling import Examples, epoch_rows
from lesionflow.training.validation import validate


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
        validation: what each epoch is evaluated on, by macro-F1.
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
    run = _Run(model, examples, validation, recipe, phase, seed, save, asked_to_stop)
    checkpoint = run.begin(checkpoint)
    batches = len(checkpoint.history) * run.steps + (checkpoint.under_way.batches if checkpoint.under_way else 0)
    progress = BatchProgress(batches, run.epochs * run.steps)
    first = len(checkpoint.history)
    for epoch in range(first, run.epochs):
        checkpoint = run.train_epoch(checkpoint, progress, fresh=epoch == first)
        if asked_to_stop() and epoch + 1 < run.epochs:
            raise Preempted(f"Stopped by SIGTERM after epoch {epoch + 1} of {run.epochs}.")
    assign(model.weights, checkpoint.best)
    return checkpoint


@dataclass(frozen=True)
class _Run:
    """What all epochs of a step share."""

    model: Any
    examples: Examples
    validation: Examples
    recipe: Recipe
    phase: str
    seed: int
    save: Callable[[Checkpoint], None]
    asked_to_stop: Callable[[], bool]

    @property
    def epochs(self) -> int:
        return self.recipe.phase(self.phase).epochs

    @property
    def steps(self) -> int:
        return steps_per_epoch(self.examples, self.recipe)

    def begin(self, checkpoint: Checkpoint | None) -> Checkpoint:
        """Put the model where the checkpoint stands; without one, evaluate what the step starts from."""
        model = self.model
        if checkpoint:
            assign(model.weights, checkpoint.weights)
            assign(model.optimizer.variables, checkpoint.optimizer)
            return checkpoint
        start = None if self.phase == PhaseName.HEAD else validate(model, self.validation)[1]
        if start is not None:
            print(f"{self.phase} starts with val macro-F1 {start:.3f}", flush=True)
        return Checkpoint(values(model.weights), [], best=values(model.weights), history=[], start=start)

    def train_epoch(self, before: Checkpoint, progress: BatchProgress, fresh: bool) -> Checkpoint:
        """Train the epoch after a checkpoint, or the rest of it.

        Args:
            before: where the training stands.
            progress: counts the batches.
            fresh: whether this is the first epoch of this process.
        """
        model, recipe, epoch = self.model, self.recipe, len(before.history)
        part, unaveraged = EpochPart(model, before.under_way, self.asked_to_stop), Unaveraged()
        _reseed(model, self.seed, epoch)
        rows = epoch_rows(self.examples.sampling_weights, self.seed, epoch)
        rows = np.resize(rows, whole_shares(len(rows)))  # filled up with the first ones
        batches = self._batches(rows, part.batches, epoch)
        if fresh:
            build_metrics(model, batches[0])
        # Keras would shuffle the batches by Python's global random state.
        fitted = model.fit(untuned(batches), shuffle=False, verbose=0, callbacks=[progress, part, unaveraged])
        if recipe.ema:
            assign(model.trainable_variables, unaveraged.weights)
        if part.batches * recipe.batch_size < len(rows):
            state = {"weights": values(model.weights), "optimizer": values(model.optimizer.variables)}
            self.save(replace(before, **state, under_way=part.under_way()))
            raise Preempted(f"Stopped by SIGTERM in epoch {epoch + 1} after batch {part.batches} of {self.steps}.")
        logs = cast(dict[str, list[float]], fitted.history)
        rate = np.asarray(keras.ops.convert_to_numpy(model.optimizer.learning_rate)).item()
        val_loss, val_macro_f1, best = self._validate(before, unaveraged)
        row = EpochRow(
            phase=self.phase,
            epoch=epoch + 1,
            loss=logs["loss"][0],
            accuracy=logs["accuracy"][0],
            val_loss=val_loss,
            val_macro_f1=val_macro_f1,
            learning_rate=rate,
            seconds=part.seconds,
        )
        now = values(model.weights), values(model.optimizer.variables)
        checkpoint = Checkpoint(*now, best, [*before.history, row], before.start)
        self.save(checkpoint)
        self._tell(row)
        return checkpoint

    def _batches(self, rows: NDArray[np.int64], done: int, epoch: int) -> EpochBatches:
        """Gather the batches of an epoch after the first `done`."""
        recipe = self.recipe
        mixing = None
        if recipe.mix != "none":
            mixing = Mixing(recipe.mix, recipe.mix_alpha, self.seed, epoch, self.model.output_shape[-1])
        return EpochBatches(self.examples, rows[done * recipe.batch_size :], recipe.batch_size, mixing, done)

    def _validate(self, before: Checkpoint, unaveraged: Unaveraged) -> tuple[float, float, Arrays]:
        """Evaluate the epoch, by the average of the weights if the recipe wants one: loss, macro-F1, best weights."""
        model, averaged = self.model, bool(self.recipe.ema)
        if averaged:
            model.optimizer.finalize_variable_values(model.trainable_variables)
            # On JAX weight and average are now one buffer, which `predict` would give away: a copy, then.
            assign(model.trainable_variables, values(model.trainable_variables))
        val_loss, val_macro_f1 = validate(model, self.validation)
        best = values(model.weights) if val_macro_f1 > before.reached[1] else before.best
        if averaged:
            assign(model.trainable_variables, unaveraged.weights)
        return val_loss, val_macro_f1, best

    def _tell(self, row: EpochRow) -> None:
        """Say how the epoch went, to the display and into the step's log."""
        epoch, loss, reached = row["epoch"], row["loss"], row["val_macro_f1"]
        report("epoch", phase=self.phase, epoch=epoch, epochs=self.epochs, loss=loss, val_macro_f1=reached)
        print(
            f"{self.phase} epoch {epoch}/{self.epochs}: loss {loss:.4f}, accuracy {row['accuracy']:.3f}, "
            f"val_loss {row['val_loss']:.4f}, val macro-F1 {reached:.3f}, {row['seconds']:.1f} s",
            flush=True,
        )


def _reseed(model: keras.Model, seed: int, epoch: int) -> None:
    """Make this epoch's augmentation and dropout a function of (seed, epoch).

    Keras keeps the generators' states out of `.keras` and `.weights.h5` files, so a restarted
    training would otherwise repeat, or jump in, their random numbers.
    """
    for index, state in enumerate(seed_generators(model)):
        words = np.random.SeedSequence([seed, epoch, index]).generate_state(2)
        state.assign((words >> 1).astype(state.dtype))  # JAX's and TensorFlow's types of it differ in sign
