"""Votes of features for pairs of images, each for a rotation and a zoom; only pairs with enough of them come out."""

import numpy as np
from numpy.typing import NDArray

from lesionflow.data.near_duplicates.features import Floats
from lesionflow.data.near_duplicates.store import Ints

VOTES = 4
"""That a pair needs. Two features that are each other's nearest make two."""

_ANGLES = 9  # bins of rotation
_ZOOMS = (-2.0, 1.0, 5)  # log2: lowest, width and number of bins
_SHIFTS = (0, 0.5)  # votes on both sides of a bin's edge meet in the bins that are shifted by half
_HEAPS = 64  # in which votes are counted one after the other
_UNSORTED = 2**20  # votes that wait for being put on their heaps

Codes = NDArray[np.uint16]


class Votes:
    """Ten bytes a vote, until they are counted."""

    def __init__(self, images: int, mirrored: bool) -> None:
        """Votes on pairs of `images` images, the one `mirrored` or not."""
        self._images = images
        self._mirrored = mirrored
        self._waiting: list[tuple[Ints, Codes]] = []
        self._heaps: list[list[tuple[Ints, Codes]]] = [[] for _ in range(_HEAPS)]

    def add(self, one: NDArray[np.integer], other: NDArray[np.integer], looks: Floats, other_looks: Floats) -> None:
        """Add votes.

        Args:
            one: (n,), the image of each of the features that found a neighbour.
            other: (n,), the image of the neighbour.
            looks: (n, 2), diameter and direction of the features, mirrored if this vote is about mirrored images.
            other_looks: (n, 2), of the neighbours.
        """
        pairs = np.minimum(one, other).astype(np.int64) * self._images + np.maximum(one, other)
        rotation, zoom = other_looks[:, 1] - looks[:, 1], np.log2(other_looks[:, 0] / looks[:, 0])
        swapped = one > other
        if not self._mirrored:  # a reflection is its own inverse, whatever its axis
            rotation = np.where(swapped, -rotation, rotation)
        zoom = np.where(swapped, -zoom, zoom)
        lowest, width, zooms = _ZOOMS
        codes = np.zeros(len(pairs), np.uint16)
        for shift in _SHIFTS:
            angles = np.floor(rotation % 360 / (360 / _ANGLES) + shift).astype(np.uint16) % _ANGLES
            scales = np.clip(np.floor((zoom - lowest) / width + shift), 0, zooms - 1).astype(np.uint16)
            codes = codes * (_ANGLES * zooms) + angles * zooms + scales
        self._waiting.append((pairs, codes.astype(np.uint16)))
        if sum(len(some) for some, _ in self._waiting) >= _UNSORTED:
            self._sort()

    def _sort(self) -> None:
        """Put the votes on heaps: those for one pair on the same, and heaps of about the same height."""
        pairs = np.concatenate([pairs for pairs, _ in self._waiting])
        codes = np.concatenate([codes for _, codes in self._waiting])
        self._waiting.clear()
        heap = (pairs % _HEAPS).astype(np.uint8)
        order = np.argsort(heap, kind="stable")
        edges = np.searchsorted(heap[order], np.arange(1, _HEAPS))
        for part, more in zip(self._heaps, np.split(order, edges), strict=True):
            part.append((pairs[more], codes[more]))

    def pairs(self) -> Ints:
        """Pairs of images with `VOTES` or more for about the same rotation and zoom.

        Returns:
            (pairs, 2): the lower number of an image first; in ascending order.
        """
        if self._waiting:
            self._sort()
        chosen = [np.empty(0, np.int64)]
        while self._heaps:
            heap = self._heaps.pop()
            if heap:
                chosen.append(_elected(*(np.concatenate(column) for column in zip(*heap, strict=True))))
        pairs = np.sort(np.concatenate(chosen))
        return np.column_stack([pairs // self._images, pairs % self._images])


def _elected(pairs: Ints, codes: Codes) -> Ints:
    """The pairs, as numbers, that have enough votes for one of the bins."""
    _, inverse, votes = np.unique(pairs, return_inverse=True, return_counts=True)
    enough = votes[inverse] >= VOTES
    pairs, codes = pairs[enough], codes[enough]
    zooms = _ZOOMS[2]
    bins = codes // (_ANGLES * zooms), codes % (_ANGLES * zooms)
    found: list[Ints] = []
    for angles in bins:
        for scales in bins:
            both = angles // zooms * zooms + scales % zooms
            keys, votes = np.unique(pairs * (_ANGLES * zooms) + both, return_counts=True)
            found.append(keys[votes >= VOTES] // (_ANGLES * zooms))
    return np.unique(np.concatenate(found))
