"""The recipes that the folds are trained with: the presets, at the size that images of 200x150 bear."""

from typing import Any

from lesionflow.recipe import BEST, PUBLISHED, Phase, Recipe

SIZE = 192
"""Side of the network input in pixels; `best` decodes to 288 of it, twice what the images have."""

SMOKE = Recipe(
    name="smoke",
    backbone="tiny",
    input_size=32,
    balance="sqrt",
    test_time_augmentation=8,
    head=Phase(epochs=1, learning_rate=1e-2, trainable=0.0),
    partial=Phase(epochs=1, learning_rate=1e-2, trainable=0.75),
    full=Phase(epochs=1, learning_rate=1e-3, trainable=1.0),
)
"""For the dry run on a CPU."""


def recipe(name: str, smoke: bool = False, **changes: Any) -> Recipe:
    """`best` at `SIZE`, or `published` at its own 224 px; in a dry run a tiny one in their place."""
    if smoke:
        return SMOKE
    chosen = {"best": BEST.model_copy(update={"input_size": SIZE}), "published": PUBLISHED}[name]
    return chosen.model_copy(update=changes)
