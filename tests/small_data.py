"""Small images and tables, as the steps before finetune write them, and the step itself on them."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from components.finetune.finetune import finetune

SIZE = 32
RECIPE: dict[str, Any] = {
    "backbone": "tiny",
    "image_size": SIZE,
    "batch_size": 16,
    "schedule": "cosine",
    "head": {"epochs": 1, "learning_rate": 0.01, "trainable": 0},
    "partial": {"epochs": 3, "learning_rate": 0.01, "trainable": 0.5},
    "full": {"epochs": 1, "learning_rate": 0.001, "trainable": 1},
}


def picture(label: int, random: np.random.Generator) -> bytes:
    """A PNG whose colour tells the label, with noise."""
    colour = np.array([label * 36, 255 - label * 36, (label * 97) % 256])
    pixels = np.clip(colour + random.normal(0, 25, (SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass(frozen=True)
class Data:
    """The input artifacts of a finetune step."""

    images: Path
    train: Path
    validation: Path

    def finetune(self, model: Path, phase: str = "head", **options: Any) -> dict[str, Any]:
        """Run a step on this data, from scratch unless told otherwise."""
        recipe = yaml.safe_dump({**RECIPE, **options.pop("changes", {})})
        arguments = {"recipe": recipe, "weights": "none", "seed": 3, **options}
        return finetune(str(self.images), str(self.train), str(self.validation), str(model), phase, **arguments)
