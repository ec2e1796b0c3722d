"""Augmentation."""

import numpy as np
import pytest


def augmented(image: np.ndarray, count: int = 16, training: bool = True, **settings: object) -> np.ndarray:
    import keras

    from components.finetune.augment import RandomAffine

    none = {"rotation": 0.0, "horizontal_flip": False, "vertical_flip": False, "zoom": 0.0, "seed": 1}
    layer = RandomAffine(**{**none, **settings})  # pyright: ignore[reportArgumentType]
    return keras.ops.convert_to_numpy(layer(np.repeat(image[None], count, 0), training=training))


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (9, 9, 3)).astype(np.uint8)


def test_nothing_changes_outside_training(image: np.ndarray):
    found = augmented(image, training=False, rotation=90.0, horizontal_flip=True, vertical_flip=True, zoom=0.5)
    np.testing.assert_array_equal(found, np.repeat(image[None], 16, 0).astype(np.float32))


def test_without_settings_the_image_stays(image: np.ndarray):
    np.testing.assert_allclose(augmented(image), np.repeat(image[None], 16, 0), atol=1e-2)


@pytest.mark.parametrize(("setting", "axis"), [("horizontal_flip", 1), ("vertical_flip", 0)])
def test_flips_mirror_some_images_and_leave_the_others(image: np.ndarray, setting: str, axis: int):
    found = augmented(image, **{setting: True})
    mirrored = [np.allclose(one, np.flip(image, axis), atol=1e-2) for one in found]
    kept = [np.allclose(one, image, atol=1e-2) for one in found]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert any(mirrored)
    assert any(kept)


def test_rotation_turns_about_the_centre_by_at_most_the_given_angle():
    image = np.zeros((41, 41, 3), np.uint8)
    image[20, 20] = 255  # the centre, which must stay
    image[20, 35] = 255  # 15 pixels to its right
    found = augmented(image, count=64, rotation=30.0)[..., 0]
    assert (found[:, 20, 20] > 200).all()
    found[:, 15:26, 15:26] = 0
    rows, columns = np.unravel_index(found.reshape(64, -1).argmax(1), (41, 41))
    angles = np.degrees(np.arctan2(rows - 20, columns - 20))
    assert np.abs(angles).max() <= 32
    assert angles.max() > 15
    assert angles.min() < -15


def test_zoom_goes_both_ways_by_at_most_the_given_share():
    image = np.zeros((81, 81, 3), np.uint8)
    image[40, 70] = 255  # 30 pixels right of the centre
    found = augmented(image, count=64, zoom=0.2)[..., 0]
    distance = found.reshape(64, -1).argmax(1) % 81 - 40
    assert distance.min() >= 30 / 1.2 - 1
    assert distance.max() <= 30 / 0.8 + 1
    assert distance.min() < 29
    assert distance.max() > 31
