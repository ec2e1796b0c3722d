"""Recipes: the one place for hyper-parameters."""

from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from lesionflow.runtime.discover import module_names
from lesionflow.settings_text import check_settings, read_settings

if TYPE_CHECKING:
    BackboneName = str
    BalanceName = str
else:
    # Not imported: else every step that reads a recipe would depend on Keras, by its digest.
    BackboneName = Literal[*module_names("lesionflow.models.backbones")]
    BalanceName = Literal[*(name.replace("_", "-") for name in module_names("lesionflow.data.balancing"))]


class PhaseName(StrEnum):
    """The three fine-tune steps, in order."""

    HEAD = "head"
    PARTIAL = "partial"
    FULL = "full"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Phase(_Strict):
    """One fine-tune step."""

    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    trainable: float = Field(ge=0, le=1)
    """Share of the backbone's layers that train, counted from its end and snapped to whole blocks."""


class Augmentation(_Strict):
    """Random changes to each training image, new in every epoch."""

    rotation: float = Field(default=36, ge=0, le=180)
    """Largest rotation either way, degrees."""
    horizontal_flip: bool = True
    vertical_flip: bool = False
    zoom: float = Field(default=0.1, ge=0, lt=1)
    """Largest zoom either way, as a share of the side."""
    crop: float = Field(default=1, gt=0, le=1)
    """Smallest share of the area that a random crop keeps, its sides in a ratio of 3:4 to 4:3; 1 crops nothing."""
    brightness: float = Field(default=0, ge=0, lt=1)
    """Largest change of all values either way, as a share."""
    contrast: float = Field(default=0, ge=0, lt=1)
    """Largest change either way of the distances from the image's mean grey, as a share."""
    saturation: float = Field(default=0, ge=0, lt=1)
    """Largest change either way of the distances from each pixel's grey, as a share."""
    hue: float = Field(default=0, ge=0, le=0.5)
    """Largest turn of the colours about grey either way, as a share of the circle."""


class Recipe(_Strict):
    """Everything that decides what is trained, but for the data, the starting weights and the seed."""

    name: str = "custom"
    backbone: BackboneName = "efficientnetv2b0"
    """The network that computes the features, a file of `models.backbones`."""
    input_size: int = Field(default=224, ge=32, le=600)
    """Side of the square network input, pixels."""
    decode_scale: float = Field(default=1, ge=1, le=4)
    """Side of the square that the whole image is decoded to, in sides of the network input. Random crops are taken
    from it before they are made as small as the input, so they show details that the whole image loses."""
    batch_size: int = Field(default=32, ge=1)
    balance: BalanceName = "oversample"
    """The one correction for classes of unequal size, a file of `data.balancing`: of the draws, or of the loss."""
    augmentation: Augmentation = Augmentation()
    mix: Literal["none", "mixup", "cutmix"] = "none"
    """Whether each training image is a mixture of two."""
    mix_alpha: float = Field(default=0.2, gt=0)
    """Mixtures are drawn from Beta(alpha, alpha): small is mostly one of the two, 1 is anything alike."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Before the classifier's last layer."""
    schedule: Literal["constant", "cosine"] = "constant"
    """How the learning rate runs within each step; cosine falls to zero at its end."""
    ema: float = Field(default=0, ge=0, lt=1)
    """Momentum, per batch, of the moving average of the weights that is judged and kept; 0 keeps the weights."""
    test_time_augmentation: Literal[1, 4, 8] = 1
    """What the finished model averages its probabilities over: 4 are an image and its three mirror images, 8 also
    windows at its four corners. That many times the work of evaluation and prediction, none in training."""
    head: Phase = Phase(epochs=5, learning_rate=1e-3, trainable=0.0)
    partial: Phase = Phase(epochs=25, learning_rate=1e-4, trainable=0.75)
    full: Phase = Phase(epochs=5, learning_rate=1e-5, trainable=1.0)

    @property
    def decode_size(self) -> int:
        """Side of the square that the whole image is decoded to, pixels."""
        return round(self.input_size * self.decode_scale)

    def phase(self, name: PhaseName | str) -> Phase:
        """The settings of one fine-tune step."""
        return getattr(self, PhaseName(name).value)


PUBLISHED = Recipe(name="published")
"""The published method: rotation, horizontal flip, zoom; oversampling; 5/25/5 epochs.

    lesionflow run --data FOLDER --recipe published

Published result: "F1 0.7 on a separate test set", averaging and split not stated. Not measured by us at
224 px; wants a GPU.
"""

BEST = Recipe(
    name="best",
    decode_scale=1.5,
    balance="sqrt",
    augmentation=Augmentation(
        rotation=180, vertical_flip=True, crop=0.35, brightness=0.1, contrast=0.1, saturation=0.1, hue=0.02
    ),
    mix="cutmix",
    mix_alpha=1,
    schedule="cosine",
    ema=0.99,
    test_time_augmentation=8,
    head=Phase(epochs=2, learning_rate=1e-3, trainable=0.0),
    partial=Phase(epochs=24, learning_rate=1e-3, trainable=0.75),
    full=Phase(epochs=4, learning_rate=5e-5, trainable=1.0),
)
"""The best that the ablation found: crops that show details, and all that keeps a longer training from overfitting.

    lesionflow run --data FOLDER --recipe best

HAM10000 at 200x150, network input 96 px, split 70/10/20 by lesion with the leak guard, seed 0, ImageNet weights with 15
kernels reconstructed: test macro-F1 0.694, 95 % interval 0.645 to 0.739; `published` on the same 0.628, 0.579 to 0.676;
seed 1, another split: 0.652 (0.604 to 0.697) and 0.602 (0.557 to 0.646).
Not measured by us at 224 px; wants a GPU.
"""

QUICK = Recipe(
    name="quick",
    input_size=96,
    balance="sqrt",
    schedule="cosine",
    augmentation=Augmentation(vertical_flip=True),
    head=Phase(epochs=2, learning_rate=1e-3, trainable=0.0),
    partial=Phase(epochs=12, learning_rate=3e-4, trainable=0.75),
    full=Phase(epochs=2, learning_rate=5e-5, trainable=1.0),
)
"""The same three steps, smaller and shorter: a quarter of an hour on two CPU cores.

    lesionflow run --data FOLDER --recipe quick

HAM10000, 10,015 images at 200x150, split 70/10/20 by lesion with seed 0, ImageNet weights with 15 kernels
reconstructed: test macro-F1 0.651, 95 % interval 0.600 to 0.693; on another such split 0.672.
"""

DEMO = Recipe(
    name="demo",
    input_size=64,
    batch_size=16,
    balance="sqrt",
    schedule="cosine",
    augmentation=Augmentation(vertical_flip=True),
    head=Phase(epochs=4, learning_rate=1e-3, trainable=0.0),
    partial=Phase(epochs=12, learning_rate=1e-3, trainable=0.75),
    full=Phase(epochs=2, learning_rate=1e-4, trainable=1.0),
)
"""For the synthetic data, from random weights, so that everything trains in all three steps.

    lesionflow run

700 synthetic images of 200x150, split 70/10/20 by lesion with seed 0: test macro-F1 0.85 to 0.95 is to be
expected (seeds 0, 1, 2: 0.918, 0.865, 0.892); with shuffled labels below 0.25.
"""

PRESETS: dict[str, Recipe] = {recipe.name: recipe for recipe in (DEMO, QUICK, PUBLISHED, BEST)}


def load_recipe(text: str) -> Recipe:
    """Understand a recipe given as a preset's name, a YAML or JSON file, or the YAML or JSON itself.

    Raises:
        UserError: no such preset or file, or a field is unknown or out of range.
    """
    if text in PRESETS:
        return PRESETS[text]
    fields, where = read_settings(text, "recipe", PRESETS)
    return check_settings(Recipe, fields, "recipe", where)
