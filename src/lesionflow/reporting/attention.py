"""Where in an image a network found what it answered.

Occlusion sensitivity (Zeiler & Fergus 2014, arXiv 1311.2901): cover one place after another and see how much less
sure the network is of its answer. What a map shows is thus what it says, a measured change of the answer, and needs
nothing of the network but its answers: the same on every Keras backend, with test-time views inside the model, and
for any architecture. Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391) needs gradients and a layer to look at, and
is as coarse as that layer (3 x 3 for 96-pixel images here); several other maps made of gradients stay the same when
the weights are drawn at random (Adebayo et al. 2018, arXiv 1810.03292).

A place counts by the fall in the log-odds of the answer (the weight of evidence of Zintgraf et al. 2017, arXiv
1702.04595): in probabilities, an answer given with 0.999 hides what it rests on. Covers have soft edges, for a hard
edge is itself a feature, and the mean colour of the image. What no single cover can hide, as a colour that is the
same all over, no map of this kind shows.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionflow.models.loaded_model import LoadedModel

GRID = 7
"""Places per side; covers overlap, each is about two places wide."""

_AT_ONCE = 8  # images, each with all its covers: 135 MB at 336 px
_LEAST = 1e-6  # below it a probability is rounding


def occlusion_maps(
    model: LoadedModel, pixels: NDArray[np.uint8], answers: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much each place of each image speaks for an answer.

    Args:
        model: the classifier; it answers GRID x GRID times per image.
        pixels: RGB, shape (n, size, size, 3).
        answers: a class per image, shape (n,).

    Returns:
        The fall in the log-odds of the answer, shape (n, GRID, GRID), negative where a cover makes the network
        surer; and the probability of the answer under each cover, of the same shape.
    """
    count, size = pixels.shape[:2]
    covers = _covers(size)  # (places, size, size, 1)
    said = np.empty((count, 1 + len(covers)))
    for start in range(0, count, _AT_ONCE):
        asked = np.stack([_covered(image, covers) for image in pixels[start : start + _AT_ONCE]])
        given = model.predict(asked.reshape(-1, size, size, 3)).reshape(*asked.shape[:2], -1)
        for row, (answer, probabilities) in enumerate(zip(answers[start:], given, strict=False), start):
            said[row] = probabilities[:, answer]
    clear, covered = said[:, :1], said[:, 1:]
    falls = _log_odds(clear) - _log_odds(covered)
    return falls.reshape(count, GRID, GRID), covered.reshape(count, GRID, GRID)


def _covered(image: NDArray[np.uint8], covers: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The image, and the image under each cover, shape (1 + places, size, size, 3)."""
    flat = image.mean(axis=(0, 1), dtype=np.float32)
    return np.concatenate([image[None], (image + covers * (flat - image)).round().astype(np.uint8)])


def _covers(size: int) -> NDArray[np.float32]:
    """How much of each pixel each cover hides, 0..1, shape (GRID * GRID, size, size, 1)."""
    places = (np.arange(GRID) + 0.5) * size / GRID
    distance = (np.arange(size) + 0.5 - places[:, None]) / (size / GRID)  # in places
    # 1 within 3/4 of a place from the middle, 0 beyond 5/4, a straight slope between.
    side = np.clip(2.5 - 2 * np.abs(distance), 0, 1)
    return (side[:, None, :, None] * side[None, :, None, :]).reshape(-1, size, size, 1).astype(np.float32)


def _log_odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.clip(probability, _LEAST, 1 - _LEAST)
    return np.log(inside / (1 - inside))
