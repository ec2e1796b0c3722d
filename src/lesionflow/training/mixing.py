"""Mixup and CutMix: two images of a batch become one, and so do their labels."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lesionflow.data.pixels import Pixels

Shares = NDArray[np.float32]


@dataclass(frozen=True)
class Mixing:
    """How the batches of one epoch are mixed: a pure function of the numbers here and of the batch's.

    Done before the augmentation, which then treats both parts of an image alike. Not `keras.layers.CutMix` or `MixUp`:
    they keep a random state of their own instead, which a resumed training would have to restore, and leave the
    weights of the loss out of the mixture.
    """

    kind: Literal["mixup", "cutmix"]
    alpha: float
    """The first image's share is drawn from Beta(alpha, alpha), once for a batch."""
    seed: int
    epoch: int
    classes: int
    """How many there are."""

    def mix(
        self, batch: int, pixels: Pixels, labels: NDArray[np.int32], weight: NDArray[np.float32]
    ) -> tuple[Pixels, Shares, NDArray[np.float32]]:
        """Mix each image with another of its batch.

        The label of the mixed image is mixed in the same proportion, so that its cross-entropy is
        share * loss(first) + (1 - share) * loss(second): mixup (Zhang et al. 2018, arXiv 1710.09412,
        equation 1) blends the pixels; CutMix (Yun et al. 2019, arXiv 1905.04899, equations 1 and 2)
        pastes a box of the second image, its sides sqrt(1 - share) of the image's and its centre anywhere.

        Args:
            batch: its number in the epoch.
            pixels: shape (n, height, width, 3).
            labels: shape (n,).
            weight: factor of each image's loss, shape (n,).

        Returns:
            Mixed pixels; shares of the classes, shape (n, classes), rows of sum 1; factors of the losses.
        """
        random = np.random.default_rng([self.seed, self.epoch, batch])
        share = float(random.beta(self.alpha, self.alpha))
        other = random.permutation(len(pixels))
        if self.kind == "mixup":
            blend = pixels * np.float32(share) + pixels[other] * np.float32(1 - share)
            mixed = np.rint(blend).astype(np.uint8)
        else:
            rows, columns = (_span(random, side, (1 - share) ** 0.5) for side in pixels.shape[1:3])
            mixed = pixels.copy()
            mixed[:, rows, columns] = pixels[other][:, rows, columns]
            covered = (rows.stop - rows.start) * (columns.stop - columns.start)
            share = 1 - covered / (pixels.shape[1] * pixels.shape[2])  # the box was cut off at the border
        classes = np.eye(self.classes, dtype=np.float32)
        first, second = share * weight, (1 - share) * weight[other]
        total: Any = first + second
        shares = (classes[labels] * first[:, None] + classes[labels[other]] * second[:, None]) / total[:, None]
        return mixed, shares.astype(np.float32), total.astype(np.float32)


def _span(random: np.random.Generator, side: int, share: float) -> slice:
    """The part of a stretch about a random centre that lies within the image."""
    centre, half = random.integers(side), round(side * share) / 2
    return slice(max(0, int(centre - half)), min(side, int(centre + half)))
