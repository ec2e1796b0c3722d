"""Augmentation."""

import numpy as np
import pytest


def augmented(image: np.ndarray, count: int = 16, training: bool = True, **settings: object) -> np.ndarray:
    import keras

    from lesionflow.training.augment import RandomAffine

    none = {"rotation": 0.0, "horizontal_flip": False, "vertical_flip": False, "zoom": 0.0, "crop": 1.0, "seed": 1}
    layer = RandomAffine(**{**none, "size": image.shape[0], **settings})  # pyright: ignore[reportArgumentType]
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


def test_a_crop_keeps_at_least_the_given_area_and_stays_inside_the_image():
    columns, rows = np.meshgrid(np.arange(101.0), np.arange(101.0))
    image = np.stack([columns, rows, np.zeros_like(rows)], axis=-1)  # each pixel tells where it came from
    found = augmented(image, count=128, crop=0.4)
    assert found[..., 0].min() >= 0
    assert found[..., 0].max() <= 100
    wide, high = np.ptp(found[:, 50, :, 0], axis=1) / 100, np.ptp(found[:, :, 50, 1], axis=1) / 100
    assert (wide * high).min() > 0.4 * 0.75
    assert (wide * high).min() < 0.5
    assert (wide * high).max() > 0.9
    ratio = wide / high
    assert 3 / 4 - 0.01 < ratio.min() < 0.9
    assert 1.1 < ratio.max() < 4 / 3 + 0.01
    assert np.std(found[:, 0, 0, 0]) > 5  # from all over the image


def coloured(image: np.ndarray, count: int = 64, training: bool = True, **settings: object) -> np.ndarray:
    import keras

    from lesionflow.training.augment import RandomColour

    none = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "seed": 1}
    layer = RandomColour(**{**none, **settings})  # pyright: ignore[reportArgumentType]
    return keras.ops.convert_to_numpy(layer(np.repeat(image[None], count, 0), training=training))


GREY = np.array([0.299, 0.587, 0.114])


@pytest.fixture
def skin() -> np.ndarray:
    """Colours far enough from black and white that nothing is clipped."""
    return np.random.default_rng(0).integers(90, 160, (6, 5, 3)).astype(np.float32)


def test_no_colour_changes_outside_training_nor_without_settings(skin: np.ndarray):
    np.testing.assert_array_equal(coloured(skin, training=False, brightness=0.5, hue=0.5)[0], skin)
    np.testing.assert_allclose(coloured(skin)[0], skin, rtol=1e-5)


def test_brightness_multiplies(skin: np.ndarray):
    ratio = coloured(skin, brightness=0.2) / skin
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1, :1], ratio.shape), rtol=1e-4)
    assert 0.8 <= ratio.min() < 0.85
    assert 1.15 < ratio.max() <= 1.2


def test_contrast_stretches_about_the_mean_grey(skin: np.ndarray):
    mean = (skin @ GREY).mean()
    ratio = (coloured(skin, contrast=0.2) - mean)[:, 0] / (skin - mean)[0]
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1], ratio.shape), rtol=1e-2)
    assert 0.8 <= ratio[:, 0, 0].min() < 0.85
    assert 1.15 < ratio[:, 0, 0].max() <= 1.2


def test_saturation_stretches_about_each_pixels_grey(skin: np.ndarray):
    grey = (skin @ GREY)[..., None]
    found = coloured(skin, saturation=0.3)
    np.testing.assert_allclose((found @ GREY)[..., None], np.broadcast_to(grey, (64, *grey.shape)), rtol=1e-4)
    factor = np.sqrt(((found - grey) ** 2).sum(axis=(1, 2, 3)) / ((skin - grey) ** 2).sum())
    assert 0.7 <= factor.min() < 0.8
    assert 1.2 < factor.max() <= 1.3


def test_hue_turns_about_grey_and_a_third_of_the_circle_swaps_the_channels():
    image = np.full((2, 2, 3), 100.0)
    image[..., 0] = 160  # reddish
    found = coloured(image, count=512, hue=0.5)[:, 0, 0]
    np.testing.assert_allclose(found.mean(axis=1), 120, rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found - 120, axis=1), np.linalg.norm([40, -20, -20]), rtol=1e-4)
    for swapped in ([100, 160, 100], [100, 100, 160]):
        assert np.abs(found - swapped).max(axis=1).min() < 2
    small = coloured(image, count=256, hue=0.02)[:, 0, 0]
    turned = np.degrees(np.arctan2(np.sqrt(3) * (small[:, 1] - small[:, 2]), 2 * small[:, 0] - small[:, 1:].sum(1)))
    assert np.abs(turned).max() == pytest.approx(7.2, abs=0.3)
    assert turned.min() < -6 < 6 < turned.max()


def test_each_image_changes_on_its_own_and_values_stay_in_range():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    found = coloured(image, brightness=0.9, contrast=0.9, saturation=0.9, hue=0.5)
    assert found.min() >= 0
    assert found.max() <= 255
    assert len({tuple(one[0, 0].round(2)) for one in found}) > 50


@pytest.mark.parametrize("training", [True, False])
def test_a_larger_frame_is_seen_whole(training: bool):
    ramp = np.broadcast_to(np.linspace(0, 248, 32)[None, :, None], (32, 32, 3)).astype(np.uint8)
    found = augmented(ramp, training=training, size=16)
    assert found.shape == (16, 16, 16, 3)
    # Each pixel lies between two of the frame's, which are 8 apart.
    np.testing.assert_allclose(found[:, :, 1:-1, 0], np.broadcast_to(4 + 16 * np.arange(1, 15), (16, 16, 14)), atol=1.1)


def test_a_crop_of_a_larger_frame_shows_the_details_of_the_frame():
    stripes = np.broadcast_to(255 * (np.arange(64) % 2)[None, :, None], (64, 64, 3)).astype(np.uint8)
    whole = augmented(stripes, size=32, training=False)
    windows = augmented(stripes, size=32, crop=0.25)
    assert np.ptp(whole[:, :, 4:-4], axis=2).max() < 160
    assert np.ptp(windows, axis=2).max() > 200


def test_only_the_layers_that_are_asked_for_are_there():
    import keras

    from lesionflow.recipe import Augmentation
    from lesionflow.training.augment import augment

    def layers(**settings: float) -> list[str]:
        inputs = keras.Input((16, 16, 3))
        return [layer.name for layer in keras.Model(inputs, augment(inputs, Augmentation(**settings), 16)).layers[1:]]  # pyright: ignore[reportArgumentType]

    assert layers() == ["augment"]
    assert layers(hue=0.1) == ["augment", "colour"]
