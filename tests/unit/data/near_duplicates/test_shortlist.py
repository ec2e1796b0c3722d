"""From what the cells of the search are learned; whom it finds is what test_duplicates.py looks at."""

import numpy as np
import pytest

from lesionflow.data.near_duplicates import shortlist
from lesionflow.data.near_duplicates.features import Features
from lesionflow.data.near_duplicates.store import FeatureStore


def stored(images: list[int]) -> FeatureStore:
    """A store of images, each with random features by its number."""
    store = FeatureStore(len(images))
    for place, image in enumerate(images):
        random = np.random.default_rng(image)
        count = 40 + 60 * image
        points = random.normal(0, 100, (count, 4)).astype(np.float32)
        descriptors = random.integers(0, 256, (count, 128), np.uint8)
        store.put(place, np.zeros((150, 200), np.uint8), Features(points, descriptors, 200))
    return store


def test_the_cells_are_learned_from_the_same_features_whether_copies_are_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shortlist, "_SAMPLE", 300)
    images = [4, 2, 4, 0, 2, 4, 5, 0]
    everything, distinct = stored(images), stored([4, 2, 0, 5])
    originals = np.array([[4, 2, 0, 5].index(image) for image in images])
    sampled = everything.descriptors(shortlist._sample(everything, np.arange(len(images))))
    np.testing.assert_array_equal(distinct.descriptors(shortlist._sample(distinct, originals)), sampled)
    assert len(sampled) == 300


def near_copies() -> FeatureStore:
    """Twelve images with the same hundred features each, slightly changed."""
    random = np.random.default_rng(0)
    original = random.integers(0, 200, (100, 128), np.uint8)
    store = FeatureStore(12)
    for image in range(12):
        descriptors = original + random.integers(0, 40, original.shape, np.uint8)
        points = random.normal(100, 10, (100, 4)).astype(np.float32)
        store.put(image, np.zeros((150, 200), np.uint8), Features(points, descriptors, 200))
    return store


@pytest.mark.parametrize("mirrored", [False, True])
def test_neighbours_are_the_same_with_little_at_a_time(monkeypatch: pytest.MonkeyPatch, mirrored: bool):
    monkeypatch.setattr(shortlist, "_PER_CELL", 100)

    def neighbours() -> list[tuple[int, int]]:
        index = shortlist._Index(near_copies(), np.arange(12))
        found = [np.column_stack(some) for some in index.neighbours(mirrored)]
        return sorted(map(tuple, np.concatenate(found).tolist()))

    expected = neighbours()
    assert len(expected) == len(set(expected))
    assert mirrored or len(expected) > 1200
    monkeypatch.setattr(shortlist, "_IN_MEMORY", 300)
    monkeypatch.setattr(shortlist, "_COMPARED", 2000)
    assert neighbours() == expected


@pytest.mark.parametrize("mirrored", [False, True])
def test_few_features_are_enough_if_they_agree_on_the_rotation(mirrored: bool):
    """Of the six of each image, no two agree if the directions of the mirrored ones are taken as they are."""
    directions = np.arange(0, 180, 30)
    points = np.column_stack([np.zeros((6, 2)), np.full(6, 4), directions]).astype(np.float32)
    random = np.random.default_rng(0)
    first = Features(points, random.integers(0, 256, (6, 128), np.uint8), 200)
    second = first.mirrored() if mirrored else first
    turned = Features(second.points + np.array([0, 0, 0, 70], np.float32), second.descriptors, 200)
    store = FeatureStore(2)
    store.put(0, np.zeros((150, 200), np.uint8), first)
    store.put(1, np.zeros((150, 200), np.uint8), turned)
    assert shortlist.shortlist(store, np.arange(2)).tolist() == [[0, 1, int(mirrored)]]
