"""Whether a file can hold the weights of a backbone.

Without Keras, which takes seconds to import: what is wrong with the weights is said before a run begins.
"""

import math
from pathlib import Path
from typing import Any

from lesionflow.errors import UserError
from lesionflow.models.backbones import BACKBONES


def check_weights_file(path: Path, backbone: str, name: str = "") -> None:
    """Refuse a file that is not there, cannot be read, or holds the weights of another network.

    What passes may still not fit: only Keras, which loads it, knows.

    Args:
        path: a `.weights.h5` (or older Keras' `.h5`) file of the backbone without its top.
        backbone: the network.
        name: what the user calls the file, if that is not `path`.

    Raises:
        UserError: it cannot be used.
    """
    import h5py

    name = name or str(path)
    if not path.is_file():
        raise UserError(f"There are no starting weights at {name}; expected a .weights.h5 file, 'imagenet' or 'none'.")
    shapes: list[tuple[int, ...]] = []

    def note(place: str, found: Any) -> None:
        # A compiled model's weights come with those of its optimizer.
        if isinstance(found, h5py.Dataset) and not place.startswith("optimizer"):
            shapes.append(found.shape)

    try:
        with h5py.File(path) as file:
            file.visititems(note)
    except OSError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"The starting weights {name} cannot be read ({reason}); expected a .weights.h5 file of {backbone}."
        ) from None
    tensors, values = len(shapes), sum(math.prod(shape) for shape in shapes)
    wanted = BACKBONES[backbone]
    if (tensors, values) != (wanted.tensors, wanted.values):
        raise UserError(
            f"The starting weights {name} do not fit the backbone {backbone}: they are {tensors} tensors of {values:,} "
            f"values; expected the {wanted.tensors} tensors of {wanted.values:,} values that this network has without "
            "its top."
        )
