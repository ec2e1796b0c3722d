"""The ImageNet weights that Keras' applications download, found in the image or in Keras' cache, or downloaded.

Without Keras, which takes seconds to import: what is wrong with the weights is said before a run begins.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from lesionflow.errors import UserError
from lesionflow.models.backbone import PublishedWeights
from lesionflow.models.backbones import BACKBONES
from lesionflow.runtime.container_image import WEIGHTS_FOLDER
from lesionflow.runtime.files import whole_file
from lesionflow.storage.store import CONNECT_TIMEOUT, FIRST_CONTACT, NoAnswer, answer_within

_READ_TIMEOUT = 30.0
"""Seconds between two bytes."""
INSTEAD = "pass --weights FILE with a .weights.h5 file, its gs:// or s3:// address, or --weights none"


def check_published(backbone: str) -> PublishedWeights:
    """Look up the published weights of a backbone.

    Raises:
        UserError: it has none.
    """
    published = BACKBONES[backbone].published
    if published is None:
        raise UserError(f"The backbone {backbone!r} has no ImageNet weights; pass --weights FILE or --weights none.")
    return published


def imagenet_weights(backbone: str, baked: Path = Path(WEIGHTS_FOLDER), say: Callable[[str], object] = print) -> Path:
    """Find the file of published ImageNet weights: out of the image, out of Keras' cache, or downloaded into that.

    Args:
        backbone: the network.
        baked: folder with the weights that are in the image.
        say: called with a sentence when there is something to wait for.

    Raises:
        UserError: the backbone has none, or they cannot be had.
    """
    published = check_published(backbone)
    if (found := baked / published.file).is_file():
        if _is_whole(found, published):
            return found
        raise UserError(f"{found} is not the published file (its MD5 differs); put the right one there, or none.")
    target = keras_cache() / published.file
    if target.is_file():
        if _is_whole(target, published):
            return target
        say(f"The ImageNet weights {target} are damaged, so they are downloaded again.")
    else:
        say(f"Downloading the ImageNet weights to {target} ...")
    _download(published, target)
    return target


def keras_cache() -> Path:
    """The folder in which Keras keeps the weights that its applications download."""
    home = Path(os.path.expanduser(os.environ.get("KERAS_HOME", "~/.keras")))  # noqa: PTH111  (bears having no home)
    try:
        home.mkdir(parents=True, exist_ok=True)
        usable = os.access(home, os.W_OK)
    except OSError:
        usable = False
    return (home if usable else Path(tempfile.gettempdir(), ".keras")) / "models"


def _is_whole(path: Path, published: PublishedWeights) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() == published.md5


def _download(published: PublishedWeights, target: Path) -> None:
    """Not by Keras' `get_file`, which waits for ever where a firewall drops packets."""
    import requests

    def ask() -> requests.Response:
        return requests.get(published.address, stream=True, timeout=(CONNECT_TIMEOUT, _READ_TIMEOUT))

    try:
        with answer_within(FIRST_CONTACT, ask) as answer, whole_file(target) as temporary:
            answer.raise_for_status()
            with temporary.open("wb") as file:
                for part in answer.iter_content(2**20):
                    file.write(part)
            if not _is_whole(temporary, published):
                raise _unavailable(published, "what came is not the published file: its MD5 differs")
    except NoAnswer:
        raise _unavailable(published, f"no answer within {FIRST_CONTACT:g} s") from None
    except OSError as error:  # requests' exceptions are, too
        raise _unavailable(published, _reason(error)) from error


def _unavailable(published: PublishedWeights, why: str) -> UserError:
    return UserError(f"The ImageNet weights cannot be downloaded from {published.address} ({why}); {INSTEAD}.")


def _reason(error: OSError) -> str:
    """Find what is behind an exception of requests, whose own text names the address and its classes once more."""
    inner = error.args[0] if error.args else error
    inner = getattr(inner, "reason", inner)
    text = " ".join(str(inner if isinstance(inner, Exception) else error).split())
    return text.partition("): ")[2] or text
