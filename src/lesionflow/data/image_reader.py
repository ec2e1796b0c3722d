"""The one reader of images: which files, which decoders, which limits, which reasons, for every step and command.

What a file is, its first bytes say (`image_kind`), how its pixels are understood, `image_decode.Opening`. JPEG and
PNG are decoded in this process. The other formats are rarer and their decoders less hardened against malice, so each
is decoded in a helper process with limits of its own (`image_helper`).
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lesionflow.data.image_decode import Opening
from lesionflow.data.image_helper import HelperImage
from lesionflow.data.image_kind import READ_KINDS, Kind, name_other, sniff
from lesionflow.data.image_problem import ImageProblem, Reason
from lesionflow.data.pixel_budget import PixelBudget

LARGEST_BYTES = 2**27
"""Of a file; a photograph of 40 megapixels is smaller even when it is not compressed."""

_IN_PROCESS = frozenset({Kind.JPEG, Kind.PNG})
_budget = PixelBudget()


@dataclass(frozen=True)
class ReadImage:
    """A decoded image."""

    image: Image.Image
    """8-bit RGB, upright (or grey, where that was welcome)."""
    size: tuple[int, int]
    """Width and height of the whole picture, upright, pixels; `image` may be smaller if that was welcome."""
    kind: Kind
    plain: bool
    """Whether any program sees these pixels in the file: a JPEG or PNG that stands upright, not of 16-bit grey."""


def share_budget(budget: PixelBudget) -> None:
    """Let this process' images count in a budget that it shares with others."""
    global _budget
    _budget = budget


@contextmanager
def read_image(encoded: bytes, at_least: int = 0, grey: bool = False) -> Generator[ReadImage]:
    """Decode an image; it counts as in memory, and others wait for its room, until the block ends.

    Args:
        encoded: a file of any kind.
        at_least: the caller needs no more pixels than this on either side: a larger JPEG is decoded at a half, a
            quarter or an eighth of its size. 0 for its full size.
        grey: the caller needs its brightness only. Grey comes as grey then; a JPEG's colours are not decoded.

    Raises:
        ImageProblem: it is no image, or of a format that is not read, damaged, or beyond a limit.
    """
    kind = _kind(encoded)
    if kind in _IN_PROCESS:
        opening = Opening(encoded, kind, at_least, grey)
        with _budget.hold(opening.cost):
            yield ReadImage(opening.load(grey), opening.size, kind, opening.plain)
        return
    with HelperImage(encoded, kind) as helped, _budget.hold(helped.size[0] * helped.size[1]):
        image = helped.load()
        yield ReadImage(image, image.size, kind, plain=False)


def read_file(path: Path) -> bytes:
    """The content of a local file; of one that is too large only so much that `read_image` says so.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(LARGEST_BYTES + 1)


def _kind(encoded: bytes) -> Kind:
    if not encoded:
        raise ImageProblem(Reason.NO_IMAGE, "the file is empty")
    if len(encoded) > LARGEST_BYTES:
        raise ImageProblem(Reason.TOO_LARGE, f"{len(encoded):,} bytes are more than {LARGEST_BYTES:,}")
    if kind := sniff(encoded):
        return kind
    if other := name_other(encoded):
        raise ImageProblem(Reason.NOT_READ, f"{other}; expected one of {READ_KINDS}")
    raise ImageProblem(
        Reason.NO_IMAGE, f"its content is not that of any image that is read; expected one of {READ_KINDS}"
    )
