"""Whether the starting weights of a run can be had, asked before its first step."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from lesionflow import storage
from lesionflow.errors import UserError
from lesionflow.models.published_weights import imagenet_weights
from lesionflow.models.starting_weights import check_weights_file
from lesionflow.runtime.container_image import WEIGHTS_FOLDER
from lesionflow.runtime.container_images import CHECKOUT

BAKED = CHECKOUT / "images" / "weights"
"""What is here goes into the images, as WEIGHTS_FOLDER."""


def check_starting_weights(
    weights: str, backbone: str, in_containers: bool, say: Callable[[str], object]
) -> Path | None:
    """Fetch or look at the weights that the head step of a local run will ask for.

    Args:
        weights: `imagenet`, `none`, or the path, gs:// or s3:// address of a file.
        backbone: name of the recipe's.
        in_containers: whether the step will run in one, whose own Keras cache is empty each time.
        say: called with a sentence when there is something to wait for.

    Returns:
        A file of this machine that containers need as `WEIGHTS_FOLDER/<its name>`, if there is one.

    Raises:
        UserError: they cannot be had, or are of another network.
    """
    if weights == "none":
        return None
    if weights == "imagenet":
        if not in_containers:
            imagenet_weights(backbone, say=say)
            return None
        found = imagenet_weights(backbone, BAKED, say)
        return None if found.is_relative_to(BAKED) else found
    if in_containers and weights.startswith(WEIGHTS_FOLDER):
        check_weights_file(check_baked(weights), backbone, weights)
        return None
    with TemporaryDirectory(prefix="weights-") as folder:
        check_weights_file(storage.download(weights, folder), backbone, weights)
    return None


def check_baked(weights: str) -> Path:
    """Where a file lies from which the one in the images was made.

    Args:
        weights: its path in the images, below WEIGHTS_FOLDER.

    Raises:
        UserError: the images have none there.
    """
    inside = PurePosixPath(weights).relative_to(WEIGHTS_FOLDER)
    source = BAKED / inside
    if not source.is_file():
        raise UserError(
            f"The images hold no {weights}: images of the present code have there what is in {BAKED}, and there is no "
            f"{inside}; put it there and run `make images` again."
        )
    return source
