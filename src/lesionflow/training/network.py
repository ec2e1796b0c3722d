"""The network that `fit` trains."""

import keras

from lesionflow.models.acceleration.accelerate import accelerate
from lesionflow.recipe import Phase, Recipe
from lesionflow.training.augment import augment
from lesionflow.training.losses import make_loss
from lesionflow.training.optimizer import make_optimizer


def training_model(
    core: keras.Model,
    recipe: Recipe,
    phase: Phase,
    steps: int,
) -> keras.Model:
    """Put the core behind its augmentation, compiled for one fine-tune step.

    Args:
        core: with the layers that train already chosen; or only its head, see `features.head_of`.
        recipe: for the augmentation, the loss and the optimizer.
        phase: for the learning rate.
        steps: batches in one epoch.
    """
    fast = accelerate(core, recipe.batch_size, learning=True)
    if len(core.input_shape) == 2:
        inputs = keras.Input(core.input_shape[1:], name="features")
        model = keras.Model(inputs, fast.layer(inputs), name="training")
    else:
        inputs = keras.Input((recipe.decode_size, recipe.decode_size, 3), name="image")
        augmented = augment(inputs, recipe.augmentation, recipe.input_size)
        model = keras.Model(inputs, fast.layer(augmented), name="training")
    model.compile(
        optimizer=make_optimizer(recipe, phase, steps, fast.adam),
        loss=make_loss(recipe),  # pyright: ignore[reportArgumentType]
        metrics=["accuracy"],
        jit_compile=fast.jit_compile,  # pyright: ignore[reportArgumentType]
    )
    # Without this a checkpoint could not be restored: the optimizer makes its variables on first use.
    model.optimizer.build(model.trainable_variables)
    return model
