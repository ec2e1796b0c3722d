"""Which pairs of images are worth a closer look: those whose features agree on how one lies on the other.

Every feature looks for its nearest neighbours among those of all other images, within the cells of a
coarse vocabulary (an inverted file, as in Jegou et al. 2011, "Product quantization for nearest neighbor
search"). Each neighbour votes for a pair of images, a rotation and a zoom (as in Lowe 2004, "Distinctive
image features from scale-invariant keypoints", section 7.3). All pairs are considered, none is compared.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray

from components.duplicates.features import Features, Floats, mirror, normalised

VOTES = 4
"""That a pair needs. Two features that are each other's nearest make two."""

_STRONGEST = 250  # features of an image that take part
_DIMENSIONS = 64  # of the 128, after a rotation to principal axes
_PER_CELL = 2000  # features, about
_SAMPLE = 100_000  # features from which axes and cells are learned
_NEIGHBOURS = 3
_FARTHEST = 0.11  # squared distance of unit vectors; beyond it hardly any neighbour is a true one
_ANGLES = 9  # bins of rotation
_ZOOMS = (-2.0, 1.0, 5)  # log2: lowest, width and number of bins
_QUERIES = 2048  # compared with a cell at a time

Ints = NDArray[np.int64]


def shortlist(features: Sequence[Features]) -> Ints:
    """Pairs of images that may show the same thing.

    Args:
        features: of each image.

    Returns:
        (pairs, 3): numbers of two images, the lower first, and 1 if the first is to be mirrored;
        in ascending order.
    """
    strong = [Features(each.points[:_STRONGEST], each.descriptors[:_STRONGEST], each.width) for each in features]
    image = np.repeat(np.arange(len(strong)), [len(each.points) for each in strong])
    if len(image) <= _NEIGHBOURS:
        return np.empty((0, 3), np.int64)
    index = _Index(np.concatenate([each.descriptors for each in strong]), image)
    others = np.concatenate([each.points for each in strong])
    found: list[Ints] = []
    for mirrored in (False, True):
        query, answer = index.neighbours(mirrored, probes=1 if mirrored else 2)
        points = np.concatenate([each.mirrored().points for each in strong]) if mirrored else others
        pairs = _vote(image[query], image[answer], points[query], others[answer], mirrored)
        found.append(np.column_stack([pairs, np.full(len(pairs), int(mirrored))]))
    pairs = np.concatenate(found)
    return pairs[np.lexsort(pairs.T[::-1])]


class _Index:
    """Descriptors by cell, so that a neighbour is looked for among a few thousand instead of millions."""

    def __init__(self, descriptors: NDArray[np.uint8], image: Ints) -> None:
        from sklearn.cluster import MiniBatchKMeans

        self._image = image
        self._descriptors = descriptors
        random = np.random.default_rng(0)
        sample = normalised(descriptors[random.choice(len(descriptors), min(_SAMPLE, len(descriptors)), replace=False)])
        self._mean = sample.mean(axis=0)
        _, axes = np.linalg.eigh(np.cov(sample.T))
        self._axes = np.ascontiguousarray(axes[:, ::-1][:, :_DIMENSIONS], np.float32)
        cells = max(1, min(len(descriptors) // _PER_CELL, len(sample) // 20))
        options: dict[str, Any] = {"n_init": 1, "max_no_improvement": None}  # their types are inferred from defaults
        vocabulary: Any = MiniBatchKMeans(cells, init="random", batch_size=8192, max_iter=20, random_state=0, **options)
        vocabulary.fit((sample - self._mean) @ self._axes)
        self._centres = np.asarray(vocabulary.cluster_centers_, np.float32)
        self._members = _by_cell(self._nearest_cells(False, 1)[:, 0], cells)

    def _project(self, rows: slice | Ints, mirrored: bool) -> tuple[Floats, Floats]:
        """Some descriptors as vectors, and these vectors' squared lengths.

        Computed anew for each cell, which costs little beside the comparisons: all at once they would take gigabytes.
        """
        chosen = self._descriptors[rows]
        vectors = (normalised(mirror(chosen) if mirrored else chosen) - self._mean) @ self._axes
        return vectors, np.einsum("ij,ij->i", vectors, vectors)

    def _nearest_cells(self, mirrored: bool, count: int) -> NDArray[np.int32]:
        """(n, count): the nearest cells of each feature, the nearest first."""
        lengths = np.einsum("ij,ij->i", self._centres, self._centres)

        def some(start: int) -> NDArray[np.int32]:
            vectors, _ = self._project(slice(start, start + 2**14), mirrored)
            distances = lengths - 2 * (vectors @ self._centres.T)
            nearest: list[NDArray[np.intp]] = []
            for _ in range(min(count, len(lengths))):
                nearest.append(distances.argmin(axis=1))
                distances[np.arange(len(distances)), nearest[-1]] = np.inf
            return np.stack(nearest, axis=1).astype(np.int32)

        with ThreadPoolExecutor(cpu_count()) as pool:
            return np.concatenate(list(pool.map(some, range(0, len(self._descriptors), 2**14))))

    def neighbours(self, mirrored: bool, probes: int) -> tuple[Ints, Ints]:
        """The features of other images that are like a feature, or like what its mirror image would give.

        Args:
            mirrored: whether the features that look for neighbours are mirrored; those that are found are not.
            probes: cells in which each looks.

        Returns:
            Features, and a neighbour of each; a feature may have none or several.
        """
        cells = self._nearest_cells(mirrored, probes)

        def look(task: tuple[Ints, Ints]) -> tuple[Ints, Ints]:
            asked, members = task
            vectors, lengths = self._project(asked, mirrored)
            there, their_lengths = self._project(members, False)
            distances = their_lengths - 2 * (vectors @ there.T)
            distances[self._image[asked][:, None] == self._image[members]] = np.inf
            best = np.argpartition(distances, _NEIGHBOURS - 1, axis=1)[:, :_NEIGHBOURS]
            near = np.take_along_axis(distances, best, axis=1) + lengths[:, None] < _FARTHEST
            return np.broadcast_to(asked[:, None], best.shape)[near], members[best[near]]

        tasks = [
            (asked[start : start + _QUERIES], members)
            for probe in range(cells.shape[1])
            for asked, members in zip(_by_cell(cells[:, probe], len(self._centres)), self._members, strict=True)
            if len(members) > _NEIGHBOURS
            for start in range(0, len(asked), _QUERIES)
        ]
        with ThreadPoolExecutor(cpu_count()) as pool:
            found = list(pool.map(look, tasks))
        empty = np.empty(0, np.int64)
        return (
            np.concatenate([empty, *(query for query, _ in found)]),
            np.concatenate([empty, *(answer for _, answer in found)]),
        )


def _by_cell(cells: NDArray[np.int32], count: int) -> list[Ints]:
    """Positions of each cell's members, ascending."""
    order = np.argsort(cells, kind="stable")
    return np.split(order, np.searchsorted(cells[order], np.arange(1, count)))


def _vote(one: Ints, other: Ints, points: Floats, others: Floats, mirrored: bool) -> Ints:
    """Pairs of images with `VOTES` or more for about the same rotation and zoom.

    Args:
        one: the image of each of the features that found a neighbour.
        other: the image of the neighbour.
        points: (n, 4), the features, mirrored if `mirrored` says so.
        others: (n, 4), the neighbours.
        mirrored: what the vote is about.

    Returns:
        (pairs, 2): the lower number of an image first; in ascending order.
    """
    count = max(one.max(initial=0), other.max(initial=0)) + 1
    pairs = np.minimum(one, other) * count + np.maximum(one, other)
    _, inverse, votes = np.unique(pairs, return_inverse=True, return_counts=True)
    enough = votes[inverse] >= VOTES
    pairs, swapped, points, others = pairs[enough], (one > other)[enough], points[enough], others[enough]
    rotation = others[:, 3] - points[:, 3]
    if not mirrored:  # a reflection is its own inverse, whatever its axis
        rotation = np.where(swapped, -rotation, rotation)
    zoom = np.log2(others[:, 2] / points[:, 2])
    zoom = np.where(swapped, -zoom, zoom)
    lowest, width, zooms = _ZOOMS
    found: list[Ints] = []
    for angle_shift in (0, 0.5):  # votes on both sides of a bin's edge meet in the bins that are shifted by half
        angles = np.floor(rotation % 360 / (360 / _ANGLES) + angle_shift).astype(np.int64) % _ANGLES
        for zoom_shift in (0, 0.5):
            scales = np.clip(np.floor((zoom - lowest) / width + zoom_shift), 0, zooms - 1).astype(np.int64)
            bins, votes = np.unique((pairs * _ANGLES + angles) * zooms + scales, return_counts=True)
            found.append(bins[votes >= VOTES] // (_ANGLES * zooms))
    pairs = np.unique(np.concatenate(found))
    return np.column_stack([pairs // count, pairs % count])
