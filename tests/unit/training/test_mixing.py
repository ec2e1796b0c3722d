"""Mixup and CutMix."""

from typing import Literal

import numpy as np
import pytest

from lesionflow.training.mixing import Mixing

KINDS: tuple[Literal["mixup"], Literal["cutmix"]] = ("mixup", "cutmix")


def batch(size: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images of one colour each, which is ten times their number; all labels differ."""
    pixels = np.broadcast_to((np.arange(size) * 10 + 10)[:, None, None, None], (size, 8, 12, 3)).astype(np.uint8)
    return pixels, np.arange(size, dtype=np.int32), np.ones(size, np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_is_mixed_in_the_proportion_of_the_pixels(kind: Literal["mixup", "cutmix"]):
    shares_seen: set[float] = set()
    for number in range(20):
        pixels, labels, weight = batch()
        mixed, shares, total = Mixing(kind, 1.0, 3, 0, 7).mix(number, pixels, labels, weight)
        assert (mixed.dtype, mixed.shape, shares.shape) == (np.uint8, pixels.shape, (6, 7))
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
        np.testing.assert_array_equal(total, weight)
        # The mean colour is the mean of the two colours in the shares of the labels.
        expected = shares[:, :6] @ (np.arange(6) * 10 + 10)
        np.testing.assert_allclose(mixed.mean(axis=(1, 2, 3)), expected, atol=0.51)
        shares_seen |= {round(float(share), 2) for share in shares[0]}
    assert len(shares_seen) > 10  # another share in each batch


def test_mixup_blends_every_pixel_and_cutmix_none():
    pixels, labels, weight = batch()
    blended = Mixing("mixup", 1.0, 3, 0, 7).mix(1, pixels, labels, weight)[0]
    assert (blended == blended[:, :1, :1]).all()
    pasted = Mixing("cutmix", 1.0, 3, 0, 7).mix(1, pixels, labels, weight)[0]
    assert set(np.unique(pasted)) <= set(np.unique(pixels))
    assert any(len(np.unique(one)) == 2 for one in pasted)


@pytest.mark.parametrize("kind", KINDS)
def test_the_mixture_depends_on_seed_epoch_and_batch_and_on_nothing_else(kind: Literal["mixup", "cutmix"]):
    def mix(seed: int, epoch: int, number: int) -> np.ndarray:
        return Mixing(kind, 1.0, seed, epoch, 7).mix(number, *batch())[1]

    first = mix(1, 2, 3)
    np.random.default_rng().random()
    np.testing.assert_array_equal(first, mix(1, 2, 3))
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
        assert not np.array_equal(first, mix(*other))


def test_weights_of_the_two_images_are_mixed_like_their_losses():
    pixels, labels, _ = batch(2)
    weight = np.array([3.0, 1.0], np.float32)
    for number in range(10):
        _, shares, total = Mixing("mixup", 1.0, 0, 0, 7).mix(number, pixels, labels, weight)
        _, plain, _ = Mixing("mixup", 1.0, 0, 0, 7).mix(number, pixels, labels, np.ones(2, np.float32))
        np.testing.assert_allclose(shares * total[:, None], plain * np.array([3, 1, 0, 0, 0, 0, 0]), rtol=1e-5)
