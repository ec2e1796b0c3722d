"""Which pairs of images are worth a closer look: those whose features agree on how one lies on the other.

Every feature looks for its nearest neighbours among those of all other images, within the cells of a
coarse vocabulary (an inverted file, as in Jegou et al. 2011, "Product quantization for nearest neighbor
search"). Each neighbour votes for a pair of images, a rotation and a zoom (as in Lowe 2004, "Distinctive
image features from scale-invariant keypoints", section 7.3). All pairs are considered, none is compared.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray

from lesionflow.data.near_duplicates.features import Floats, mirror, normalised
from lesionflow.data.near_duplicates.store import FeatureStore, Ints
from lesionflow.data.near_duplicates.votes import Votes

_DIMENSIONS = 64  # of the 128, after a rotation to principal axes
_PER_CELL = 2000  # features, about
_SAMPLE = 100_000  # features from which axes and cells are learned
_NEIGHBOURS = 3
_FARTHEST = 0.11  # squared distance of unit vectors; beyond it hardly any neighbour is a true one
_IN_MEMORY = 2**20  # descriptors, of as many cells as that makes
_COMPARED = 2**22  # distances computed by a core at a time

Numbers = NDArray[np.int32]
"""Of features: a data set may have billions of bytes of them, not billions."""


def shortlist(features: FeatureStore, originals: Ints) -> Ints:
    """Pairs of images that may show the same thing.

    Args:
        features: of all images to compare.
        originals: of each image of the data set, exact copies included, the one of these that shows it.

    Returns:
        (pairs, 3): numbers of two images, the lower first, and 1 if the first is to be mirrored;
        in ascending order.
    """
    if len(features.image) <= _NEIGHBOURS:
        return np.empty((0, 3), np.int64)
    index = _Index(features, originals)
    found: list[Ints] = []
    for mirrored in (False, True):
        votes = Votes(len(features.counts), mirrored)
        for query, answer in index.neighbours(mirrored):
            looks = features.looks[query]
            if mirrored:
                looks[:, 1] = 180 - looks[:, 1]
            votes.add(features.image[query], features.image[answer], looks, features.looks[answer])
        pairs = votes.pairs()
        found.append(np.column_stack([pairs, np.full(len(pairs), int(mirrored))]))
    pairs = np.concatenate(found)
    return pairs[np.lexsort(pairs.T[::-1])]


def _sample(features: FeatureStore, originals: Ints) -> Ints:
    """Numbers of features at random from the whole data set, exact copies included."""
    counts = features.strong[originals]
    ends = np.cumsum(counts)
    drawn = np.random.default_rng(0).choice(ends[-1], min(_SAMPLE, int(ends[-1])), replace=False)
    image = np.searchsorted(ends, drawn, side="right")
    return features.first[originals[image]] + drawn - (ends - counts)[image]


class _Index:
    """Descriptors by cell, so that a neighbour is looked for among a few thousand instead of millions."""

    def __init__(self, features: FeatureStore, originals: Ints) -> None:
        from sklearn.cluster import MiniBatchKMeans

        self._features = features
        # Axes and cells are those of the whole data set, so that leaving copies out changes as little as it can: which
        # pairs are found at the limit of what can be found is up to the cells.
        whole = int(features.strong[originals].sum())
        sample = normalised(features.descriptors(_sample(features, originals)))
        self._mean = sample.mean(axis=0)
        _, axes = np.linalg.eigh(np.cov(sample.T))
        self._axes = np.ascontiguousarray(axes[:, ::-1][:, :_DIMENSIONS], np.float32)
        cells = max(1, min(whole // _PER_CELL, len(sample) // 20))
        options: dict[str, Any] = {"n_init": 1, "max_no_improvement": None}  # their types are inferred from defaults
        vocabulary: Any = MiniBatchKMeans(cells, init="random", batch_size=8192, max_iter=20, random_state=0, **options)
        vocabulary.fit((sample - self._mean) @ self._axes)
        self._centres = np.asarray(vocabulary.cluster_centers_, np.float32)
        self._asked = self._by_cell(False, 2)
        self._members = self._asked[0]

    def _project(self, descriptors: NDArray[np.uint8], mirrored: bool) -> tuple[Floats, Floats]:
        """Descriptors as vectors, and these vectors' squared lengths.

        Computed anew for each cell, which costs little beside the comparisons: all at once they would take gigabytes.
        """
        vectors = (normalised(mirror(descriptors) if mirrored else descriptors) - self._mean) @ self._axes
        return vectors, np.einsum("ij,ij->i", vectors, vectors)

    def _by_cell(self, mirrored: bool, probes: int) -> list[list[Numbers]]:
        """For each feature's nearest, second nearest ... cell: the features of each cell, in ascending order."""
        count, cells = len(self._features.image), len(self._centres)
        probes = min(probes, cells)
        lengths = np.einsum("ij,ij->i", self._centres, self._centres)

        def nearest(descriptors: NDArray[np.uint8]) -> Numbers:
            vectors, _ = self._project(descriptors, mirrored)
            distances = lengths - 2 * (vectors @ self._centres.T)
            found = np.empty((len(distances), probes), np.int32)
            for probe in range(probes):
                found[:, probe] = distances.argmin(axis=1)
                distances[np.arange(len(distances)), found[:, probe]] = np.inf
            return found

        found = np.empty((count, probes), np.int32)
        step = max(1, _COMPARED // cells)
        with ThreadPoolExecutor(cpu_count()) as pool:
            for start in range(0, count, _IN_MEMORY // 4):
                part = np.arange(start, min(start + _IN_MEMORY // 4, count))
                descriptors = self._features.descriptors(part)
                blocks = [descriptors[low : low + step] for low in range(0, len(part), step)]
                found[part] = np.concatenate(list(pool.map(nearest, blocks)))
        by_cell: list[list[Numbers]] = []
        for column in found.T:
            order = np.argsort(column, kind="stable").astype(np.int32)
            by_cell.append(np.split(order, np.searchsorted(column[order], np.arange(1, cells))))
        return by_cell

    def neighbours(self, mirrored: bool) -> Iterator[tuple[Numbers, Numbers]]:
        """The features of other images that are like a feature, or like what its mirror image would give.

        Args:
            mirrored: whether the features that look for neighbours are mirrored; those that are found are not.
                Mirrored ones look in one cell, the others in two.

        Yields:
            Some features, and a neighbour of each; a feature may have none or several.
        """
        asked = self._by_cell(True, 1) if mirrored else self._asked
        with ThreadPoolExecutor(cpu_count()) as pool:
            for cells in self._groups(asked):
                wanted = np.unique(np.concatenate([part[cell] for part in (*asked, self._members) for cell in cells]))
                descriptors = self._features.descriptors(wanted)
                tasks = [
                    (part[cell][start : start + step], self._members[cell])
                    for part in asked
                    for cell in cells
                    for step in [max(1, _COMPARED // max(1, len(self._members[cell])))]
                    for start in range(0, len(part[cell]), step)
                ]
                yield from pool.map(partial(self._look, mirrored, wanted, descriptors), tasks)

    def _look(
        self, mirrored: bool, held: Numbers, descriptors: NDArray[np.uint8], task: tuple[Numbers, Numbers]
    ) -> tuple[Numbers, Numbers]:
        """The neighbours of some features among the members of a cell; of both, `held` has the descriptors."""
        queries, members = task
        vectors, lengths = self._project(descriptors[np.searchsorted(held, queries)], mirrored)
        there, their_lengths = self._project(descriptors[np.searchsorted(held, members)], False)
        distances = their_lengths - 2 * (vectors @ there.T)
        distances[self._features.image[queries][:, None] == self._features.image[members]] = np.inf
        best = np.argpartition(distances, _NEIGHBOURS - 1, axis=1)[:, :_NEIGHBOURS]
        near = np.take_along_axis(distances, best, axis=1) + lengths[:, None] < _FARTHEST
        return np.broadcast_to(queries[:, None], best.shape)[near], members[best[near]]

    def _groups(self, asked: Sequence[Sequence[Numbers]]) -> Iterator[list[int]]:
        """Cells in which neighbours can be looked for, as many at a time as fit in memory."""
        group: list[int] = []
        held = 0
        for cell, members in enumerate(self._members):
            if len(members) <= _NEIGHBOURS:
                continue
            needed = len(members) + sum(len(part[cell]) for part in asked)
            if group and held + needed > _IN_MEMORY:
                yield group
                group, held = [], 0
            group.append(cell)
            held += needed
        if group:
            yield group
