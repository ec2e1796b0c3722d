"""Weights from files, into a network and complete."""

from pathlib import Path
from typing import TYPE_CHECKING

from lesionflow.compat.keras_loading import complete_loading
from lesionflow.errors import UserError
from lesionflow.models.classifier import backbone_of

if TYPE_CHECKING:
    import keras


def load_backbone_weights(core: "keras.Model", path: Path) -> None:
    """Load starting weights into the core's backbone.

    Args:
        core: from `build_core`.
        path: a `.weights.h5` (or older Keras' `.h5`) file of the backbone without its top.

    Raises:
        UserError: the file is missing, unreadable, or of another network.
    """
    if not path.is_file():
        raise UserError(f"There are no starting weights at {path}; expected a .weights.h5 file, 'imagenet' or 'none'.")
    try:
        with complete_loading():
            backbone_of(core).load_weights(path)
    except (OSError, ValueError, KeyError, AttributeError, UserWarning) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"The starting weights {path} do not fit the backbone ({reason}); expected a .weights.h5 file "
            "written for the same network without its top."
        ) from error
