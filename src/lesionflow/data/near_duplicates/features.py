"""Local features: points of an image that are found again when it is turned, zoomed or photographed anew."""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray

from lesionflow.data.image_problem import ImageProblem
from lesionflow.data.image_reader import read_image
from lesionflow.errors import UserError

SHORTER_SIDE = 150
"""Pixels to which larger images are brought first: it bounds the time, and finer detail is not needed here."""

MOST = 400
"""Features of an image; the strongest count."""

_CONTRAST = 0.012  # OpenCV's default, 0.04, leaves smooth skin without any
_CHUNK = 256
_BRIGHTNESS = np.array([9797, 19234, 3737], np.uint32)  # libpng's weights of red, green and blue: parts of 32,768

# Mirroring an image reverses the rows of a SIFT descriptor's 4 x 4 cells (they follow the point's own direction,
# so that is the axis of the reflection) and the sense of its 8 directions.
_MIRRORED = np.array([((3 - row) * 4 + column) * 8 + (8 - bin_) % 8
                      for row in range(4) for column in range(4) for bin_ in range(8)])  # fmt: skip

Gray = NDArray[np.uint8]
Floats = NDArray[np.float32]
A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class Features:
    """The features of one image, the strongest first."""

    points: Floats
    """(n, 4): x and y in pixels, diameter in pixels, direction in degrees."""
    descriptors: NDArray[np.uint8]
    """(n, 128): SIFT."""
    width: int
    """Of the image in which they were found, pixels."""

    def mirrored(self) -> "Features":
        """What would be found in the image's left-right mirror image."""
        points = self.points * np.array([-1, 1, 1, -1], np.float32) + np.array([self.width - 1, 0, 0, 180], np.float32)
        return Features(points, mirror(self.descriptors), self.width)


def mirror(descriptors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The descriptors that the same points would have in the mirror image; (n, 128)."""
    return descriptors[:, _MIRRORED]


def normalised(descriptors: NDArray[np.uint8]) -> Floats:
    """RootSIFT: unit vectors whose products compare two descriptors better than SIFT's own distance does.

    Arandjelovic and Zisserman 2012, "Three things everyone should know to improve object retrieval".
    """
    values = descriptors.astype(np.float32)
    return np.sqrt(values / np.maximum(values.sum(axis=1, keepdims=True), 1e-9))


def decode_to_match(encoded: bytes, image_id: str, colour: bool = False) -> NDArray[np.uint8]:
    """Decode an image, its shorter side at most `SHORTER_SIDE` pixels.

    Returns:
        Shape (height, width), gray; in colour (height, width, 3), in OpenCV's order: blue, green, red.

    Raises:
        UserError: the bytes are not a readable image.
    """
    import cv2

    try:
        with read_image(encoded, grey=not colour) as read:
            pixels = np.asarray(read.image)
    except ImageProblem as problem:
        raise UserError(f"The image {image_id} cannot be decoded ({problem}); run the ingest step again.") from None
    if colour:
        pixels = np.ascontiguousarray(pixels[..., ::-1])
    elif pixels.ndim == 3:
        pixels = (pixels @ _BRIGHTNESS >> 15).astype(np.uint8)
    scale = SHORTER_SIDE / min(pixels.shape[:2])
    if scale < 1:
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(pixels, np.uint8)


def detect(gray: Gray) -> Features:
    """The features of one image; there may be none."""
    import cv2

    # Constructed anew each time (it costs nothing): one object must not be used by two threads.
    keypoints, descriptors = cv2.SIFT.create(nfeatures=MOST, contrastThreshold=_CONTRAST).detectAndCompute(gray, None)
    if not keypoints:
        return Features(np.empty((0, 4), np.float32), np.empty((0, 128), np.uint8), gray.shape[1])
    order = np.argsort([-point.response for point in keypoints], kind="stable")[:MOST]
    points = np.array([(*point.pt, point.size, point.angle) for point in keypoints], np.float32)
    return Features(points[order], descriptors[order].astype(np.uint8), gray.shape[1])


def map_on_all_cores(work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """`map`, on all cores, with a few hundred items in memory at a time; in the order given."""
    waiting = iter(items)
    with ThreadPoolExecutor(cpu_count()) as pool:
        while chunk := list(islice(waiting, _CHUNK)):
            yield from pool.map(work, chunk)


@contextmanager
def one_thread_each() -> Generator[None]:
    """Keep OpenCV and BLAS to one thread in each of ours: faster, and sums come out alike on any number of cores."""
    import cv2
    from threadpoolctl import threadpool_limits

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        cv2.setNumThreads(before)
