"""Whether two images show the same thing: one laid onto the other by rotation, zoom and shift, and compared."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionflow.data.near_duplicates.features import Features, Floats, Gray, normalised

INLIERS = 6
"""Features, at different spots, that must agree. Looking for mirrored copies in HAM10000, which has none, shows what
chance does: among all its pairs of images none reaches six, a dozen reach five."""

CORRELATION = 0.5
"""Of the details of both images, at least."""

OVERLAP = 0.2
"""Share of the smaller image that the other covers, at least."""

_RATIO = 0.9  # of the distances to the best and the second best match (Lowe 2004, section 7.1, with less severity)
_TOLERANCE = 3.0  # pixels between a point and where the alignment puts it
_ROUNDS = 500  # of RANSAC, at most
_ZOOM = 3.3  # at most, either way
_FINE, _COARSE = 1.0, 12.0  # pixels: details between these two sizes are compared, not shading and not noise


@dataclass(frozen=True)
class Overlay:
    """How one image lies on the other, by what their features say."""

    inliers: int
    """Features that agree on where it lies."""
    transform: NDArray[np.float64]
    """(2, 3): pixel coordinates of the first image (as it is, not mirrored) to those of the second."""


@dataclass(frozen=True)
class Alignment(Overlay):
    """How well one image lies on the other."""

    correlation: float
    """Of the details of both where they overlap, -1 to 1."""
    overlap: float
    """Share of the smaller of the two that the other covers, 0 to 1."""


def lay(one: Features, other: Features, mirrored: bool) -> Overlay | None:
    """Lay the first image on the second.

    Args:
        one: features of the first image.
        other: of the second.
        mirrored: whether to mirror the first image before.

    Returns:
        None if too few features agree.
    """
    import cv2

    turned = one.mirrored() if mirrored else one
    matches = _match(normalised(turned.descriptors), normalised(other.descriptors))
    if len(matches) < 3:
        return None
    # OpenCV's RANSAC starts its random numbers anew in every call: the same points give the same answer.
    estimate: Any = cv2.estimateAffinePartial2D(  # typed as if it always found one
        turned.points[matches[:, 0], :2],
        other.points[matches[:, 1], :2],
        method=cv2.RANSAC,
        ransacReprojThreshold=_TOLERANCE,
        maxIters=_ROUNDS,
    )
    transform, inliers = estimate
    if transform is None or not 1 / _ZOOM < np.hypot(transform[0, 0], transform[1, 0]) < _ZOOM:
        return None
    # A point may have several features, of several directions or sizes: a spot of two pixels counts once.
    spots = np.unique(np.round(other.points[matches[inliers.ravel() > 0, 1], :2] / 2), axis=0)
    if len(spots) < INLIERS:
        return None
    if mirrored:
        flip = np.array([[-1.0, 0, one.width - 1], [0, 1, 0], [0, 0, 1]])
        transform = np.asarray(transform @ flip)
    return Overlay(len(spots), transform)


def confirm(overlay: Overlay, gray: Gray, other: Gray) -> Alignment | None:
    """See whether the pixels of two images agree as their features do; None if they do not."""
    correlation, overlap = compare(gray, other, overlay.transform)
    if correlation < CORRELATION or overlap < OVERLAP:
        return None
    return Alignment(overlay.inliers, overlay.transform, correlation, overlap)


def _match(one: Floats, other: Floats) -> NDArray[np.intp]:
    """(matches, 2): features that are each other's nearest and clearly nearer than the second nearest."""
    if len(one) < 3 or len(other) < 3:
        return np.empty((0, 2), np.intp)
    likeness = one @ other.T
    best = likeness.argmax(axis=1)
    rows = np.arange(len(one))
    mutual = likeness.argmax(axis=0)[best] == rows
    first = likeness[rows, best]
    likeness[rows, best] = -1
    second = likeness.max(axis=1)
    clear = np.maximum(1 - first, 0) < _RATIO**2 * np.maximum(1 - second, 0)
    rows = np.flatnonzero(mutual & clear)
    return np.stack([rows, best[rows]], axis=1)


def compare(gray: Gray, other: Gray, transform: NDArray[np.float64]) -> tuple[float, float]:
    """Correlation of the details of two images, the first warped onto the second, and the overlap as in `Alignment`.

    Only details count: dark corners and a lesion's mere darkness are alike in thousands of images.
    """
    import cv2

    size = (other.shape[1], other.shape[0])
    warped = cv2.warpAffine(gray.astype(np.float32), transform, size, flags=cv2.INTER_LINEAR)
    inside = (cv2.warpAffine(np.ones(gray.shape, np.float32), transform, size) > 0.99).astype(np.float32)
    area = abs(float(np.linalg.det(transform[:, :2]))) * gray.size
    overlap = min(1.0, float(inside.sum()) / min(area, other.size))
    if inside.sum() < 1000:
        return 0.0, overlap
    weight = np.maximum(cv2.GaussianBlur(inside, (0, 0), _COARSE), 1e-6)
    details: list[Floats] = []
    for picture in (warped, other.astype(np.float32)):
        shading = cv2.GaussianBlur(picture * inside, (0, 0), _COARSE) / weight
        values = (cv2.GaussianBlur(picture, (0, 0), _FINE) - shading)[inside > 0]
        details.append(np.asarray(values - values.mean(), np.float32))
    product = float(details[0] @ details[1])
    energy = float(details[0] @ details[0]) * float(details[1] @ details[1])
    return (product / energy**0.5 if energy > 0 else 0.0), overlap
