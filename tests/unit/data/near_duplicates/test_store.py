"""What is put into the stores comes out again, in memory and from a file."""

import numpy as np
import pytest

from lesionflow.data.near_duplicates.features import MOST, Features
from lesionflow.data.near_duplicates.store import STRONGEST, FeatureStore, GrayStore
from lesionflow.data.pixel_store import VARIABLE, MappedPixels

COUNTS = (0, 1, 63, 64, 65, STRONGEST, STRONGEST + 1, MOST, 0, 130)


@pytest.fixture(params=["memory", "file"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "file":
        monkeypatch.setenv(VARIABLE, "1000")
    return request.param


def some(count: int, seed: int) -> Features:
    random = np.random.default_rng(seed)
    points = random.normal(0, 100, (count, 4)).astype(np.float32)
    return Features(points, random.integers(0, 256, (count, 128), np.uint8), 200 + seed)


def test_features_come_out_as_they_went_in(place: str):
    features = [some(count, seed) for seed, count in enumerate(COUNTS)]
    store = FeatureStore(len(COUNTS))
    assert isinstance(store._rows, MappedPixels) == (place == "file")
    for image in np.random.default_rng(0).permutation(len(COUNTS)).tolist():
        store.put(image, np.zeros((150, 200 + image), np.uint8), features[image])
    for image, put in enumerate(features):
        np.testing.assert_array_equal(store[image].points, put.points)
        np.testing.assert_array_equal(store[image].descriptors, put.descriptors)
        assert store[image].width == put.width
    assert store.shapes[3].tolist() == [150, 203]
    strong = [min(count, STRONGEST) for count in COUNTS]
    np.testing.assert_array_equal(store.image, np.repeat(np.arange(len(COUNTS)), strong))
    points = np.concatenate([each.points[:STRONGEST] for each in features])
    np.testing.assert_array_equal(store.looks, points[:, 2:])
    descriptors = np.concatenate([each.descriptors[:STRONGEST] for each in features])
    wanted = np.random.default_rng(1).permutation(sum(strong))[:500]
    np.testing.assert_array_equal(store.descriptors(wanted), descriptors[wanted])


def test_gray_images_of_any_shape_come_out_as_they_went_in(place: str):
    shapes = np.array([[150, 200], [1, 1], [200, 150], [150, 170], [150, 900]])
    random = np.random.default_rng(0)
    grays = [random.integers(0, 256, shape, np.uint8) for shape in shapes]
    store = GrayStore([0, 2, 3], shapes, ((image, grays[image]) for image in (3, 0, 2)))
    assert isinstance(store._rows, MappedPixels) == (place == "file")
    for image in (0, 2, 3):
        np.testing.assert_array_equal(store[image], grays[image])


def test_nothing_to_keep_is_no_trouble(place: str):
    assert FeatureStore(0).descriptors(np.empty(0, np.int64)).shape == (0, 128)
    GrayStore([], np.empty((0, 2), np.int64), [])
