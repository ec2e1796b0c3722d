"""The training of one fine-tune step, with its checkpoints."""

import sys
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from lesionflow.data.pixel_store import pixels_digest
from lesionflow.recipe import PhaseName, Recipe
from lesionflow.storage import Address
from lesionflow.training import checkpoint as checkpoints
from lesionflow.training.preemption import termination_noted
from lesionflow.training.sampling import Examples

if TYPE_CHECKING:
    import keras


def fit(
    core: "keras.Model",
    recipe: Recipe,
    phase: PhaseName,
    seed: int,
    examples: Examples,
    validation: Examples,
    inputs: Mapping[str, object],
    folder: str,
) -> tuple[checkpoints.Checkpoint, int]:
    """Train `core` to the end of the step, going on from a checkpoint if there is one.

    Returns:
        The last state, and how many epochs were there already.
    """
    from lesionflow.training.batches import steps_per_epoch
    from lesionflow.training.epochs import train
    from lesionflow.training.features import features_stay, head_of, with_features
    from lesionflow.training.network import training_model

    learner, learned, validated = core, examples, validation
    if features_stay(core, recipe):
        learner = head_of(core)
        learned, validated = (with_features(core, recipe, part) for part in (examples, validation))
    model = training_model(learner, recipe, recipe.phase(phase), steps_per_epoch(examples, recipe))
    order = [*PhaseName].index(phase)
    # Steps with the same seed must not repeat each other's row order and augmentation.
    step_seed = int(np.random.SeedSequence([seed, order]).generate_state(1)[0])
    if not folder:
        return train(model, learned, validated, recipe, phase, step_seed, None, lambda _: None), 0
    key = checkpoints.key(
        {**inputs, "pixels": [pixels_digest(examples.pixels), pixels_digest(validation.pixels)]},
        *(examples.labels, examples.weight, examples.sampling_weights, validation.labels),
        *(weight.numpy() for weight in core.weights),
    )
    place = Address.parse(folder) / f"{phase}-{key}"
    with checkpoints.locked(place), termination_noted() as asked_to_stop:
        try:
            state = checkpoints.load(place)
        except checkpoints.DamagedCheckpoint as damage:
            print(f"The checkpoint is damaged ({damage}): this step trains from its first epoch.", file=sys.stderr)
            state = None
        if state:
            batch = f", batch {state.under_way.batches}," if state.under_way else ""
            print(f"Going on after epoch {len(state.history)}{batch} from {place}", flush=True)
        done = len(state.history) if state else 0
        save = partial(checkpoints.save, place)
        return train(model, learned, validated, recipe, phase, step_seed, state, save, asked_to_stop), done
