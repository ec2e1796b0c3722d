"""What the search holds of every image: in memory or, past the budget of `pixel_store`, in a mapped file."""

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lesionflow.data.near_duplicates.features import MOST, Features, Floats, Gray
from lesionflow.data.pixel_store import allocate_rows

STRONGEST = 250
"""Features of an image that take part in the search for candidates; all count when two images are laid together."""

_ROW = 64  # features; an image takes whole rows, and one with few features takes few
_DESCRIPTOR, _POINT = 128, 16  # bytes
_AT_ONCE = 2**14  # descriptors copied out of their rows at once

Ints = NDArray[np.int64]


class FeatureStore:
    """The features of images 0, 1, ..., which may be put here in any order; all must be before any is read.

    The strongest features of all images have numbers, too: those of image 0 first, the strongest first.
    """

    def __init__(self, images: int) -> None:
        """Find room for that many images.

        Raises:
            UserError: there is none.
        """
        shape = (images * -(-MOST // _ROW), _ROW, _DESCRIPTOR + _POINT)
        self._rows = allocate_rows(shape, f"features of {images:,} images")
        self._rows_used = 0
        self._first_row = np.zeros(images, np.int64)
        self._looks: list[Floats] = [np.empty((0, 2), np.float32)] * images
        self.counts = np.zeros(images, np.int64)
        """(images,): features of each."""
        self.shapes = np.zeros((images, 2), np.int64)
        """(images, 2): height and width of the gray images, pixels."""

    def put(self, image: int, gray: Gray, features: Features) -> None:
        """Keep the features that were found in `gray`."""
        count = len(features.points)
        packed = np.zeros((-(-count // _ROW) * _ROW, _DESCRIPTOR + _POINT), np.uint8)
        packed[:count, :_DESCRIPTOR] = features.descriptors
        packed[:count, _DESCRIPTOR:] = np.ascontiguousarray(features.points).view(np.uint8)
        rows = packed.reshape(-1, _ROW, _DESCRIPTOR + _POINT)
        self._rows[np.arange(self._rows_used, self._rows_used + len(rows))] = rows
        self._first_row[image], self.counts[image], self.shapes[image] = self._rows_used, count, gray.shape
        self._looks[image] = features.points[:STRONGEST, 2:].copy()
        self._rows_used += len(rows)

    def __getitem__(self, image: int) -> Features:
        first, count = int(self._first_row[image]), int(self.counts[image])
        rows = self._rows[np.arange(first, first + -(-count // _ROW))]
        packed = rows.reshape(-1, _DESCRIPTOR + _POINT)[:count]
        points = np.ascontiguousarray(packed[:, _DESCRIPTOR:]).view(np.float32)
        return Features(points, packed[:, :_DESCRIPTOR], int(self.shapes[image, 1]))

    @cached_property
    def strong(self) -> Ints:
        """(images,): how many of each image's features are among the strongest."""
        return np.minimum(self.counts, STRONGEST)

    @cached_property
    def image(self) -> NDArray[np.int32]:
        """(n,): the image of each of the strongest features."""
        return np.repeat(np.arange(len(self.strong), dtype=np.int32), self.strong)

    @cached_property
    def looks(self) -> Floats:
        """(n, 2): diameter in pixels and direction in degrees of each of the strongest features."""
        looks = np.concatenate([np.empty((0, 2), np.float32), *self._looks])
        self._looks.clear()
        return looks

    @cached_property
    def first(self) -> Ints:
        """(images,): the number of the first of each image's strongest features."""
        return np.cumsum(self.strong) - self.strong

    def descriptors(self, strong: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Of some of the strongest features, by their numbers; (n, 128). Fastest in ascending order."""
        found = np.empty((len(strong), _DESCRIPTOR), np.uint8)
        offset = self._first_row * _ROW - self.first
        for start in range(0, len(strong), _AT_ONCE):
            some = strong[start : start + _AT_ONCE]
            rows, places = np.divmod(some + offset[self.image[some]], _ROW)
            needed, inverse = np.unique(rows, return_inverse=True)
            found[start : start + _AT_ONCE] = self._rows[needed][inverse, places, :_DESCRIPTOR]
        return found


class GrayStore:
    """Some of the gray images."""

    def __init__(self, wanted: Sequence[int], shapes: Ints, grays: Iterable[tuple[int, Gray]]) -> None:
        """Keep gray images.

        Args:
            wanted: the numbers of the images that will come.
            shapes: (images, 2), of all: height and width, pixels.
            grays: number and gray image, in any order.

        Raises:
            UserError: there is no room.
        """
        self._shapes = shapes
        self._row = {image: row for row, image in enumerate(wanted)}
        largest = int(shapes[list(wanted)].prod(axis=1).max(initial=0))
        self._rows = allocate_rows((len(wanted), largest), f"{len(wanted):,} gray images")
        for image, gray in grays:
            row = np.zeros((1, largest), np.uint8)
            row[0, : gray.size] = gray.ravel()
            self._rows[np.array([self._row[image]])] = row

    def __getitem__(self, image: int) -> Gray:
        height, width = self._shapes[image]
        return self._rows[np.array([self._row[image]])][0, : height * width].reshape(height, width)
