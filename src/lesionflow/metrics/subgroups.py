"""Is it as good for everybody? The metrics of groups of test images, by what the metadata says of them.

A macro-average over the classes that a group happens to have would be another quantity than the one over all,
so only metrics that mean the same in every group are given, and a balanced accuracy where all classes occur.

A metric that rests on fewer than 50 lesions is marked as too small to judge by: at an accuracy of 0.8 the interval
is then wider than 0.2, so 0.7 and 0.9 look alike. (For a firm statement Vergouwe et al. 2005,
doi 10.1016/j.jclinepi.2004.06.017, ask for 100 with and 100 without the disease.)
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lesionflow.metrics.bootstrap import Bootstrap, Metric, Samples, Weights
from lesionflow.metrics.classification import Indices, Probabilities, weighted_auc
from lesionflow.metrics.operating_points import ask
from lesionflow.runtime.document import Part
from lesionflow.taxonomy import Taxonomy

if TYPE_CHECKING:
    import pandas as pd

LEAST_LESIONS = 50
UNKNOWN = "unknown"
AGE_BANDS: tuple[tuple[str, float], ...] = (
    ("under 30", 30),
    ("30 to 44", 45),
    ("45 to 59", 60),
    ("60 to 74", 75),
    ("75 and over", np.inf),
)
"""Name of a band of ages, and the age in years below which it ends."""

METRICS = ("accuracy", "balanced_accuracy")
"""Of every group."""

MALIGNANT_METRICS = ("malignant_auc", "malignant_sensitivity", "malignant_specificity")
"""Likewise, where the taxonomy says which classes are malignant."""

COLUMNS = {"sex": "sex", "age": "age", "localization": "localization", "source": "dataset"}
"""What groups are formed by -> the column of the images' metadata."""


class MetricOfGroup(Metric):
    """A metric of a group."""

    lesions: int
    """That it rests on: of the rarer side or class."""
    too_small: bool
    """Whether these are too few to judge by it."""


class Group(Part):
    """The test images of one group."""

    group: str
    images: int
    lesions: int
    malignant_lesions: int | None
    """None where the taxonomy does not say which classes are malignant."""
    too_small: bool
    metrics: dict[str, MetricOfGroup]
    """METRICS and perhaps MALIGNANT_METRICS; `balanced_accuracy` is None unless all classes occur."""


class Grouping(Part):
    """The groups by one thing that the metadata says."""

    groups: tuple[Group, ...] = ()
    reason: str | None = None
    """Why there are none."""


def groups_of(metadata: "pd.DataFrame", by: str) -> list[str]:
    """The group of each image; "unknown" where the metadata does not say.

    Args:
        metadata: the columns of the images artifact, one row per image.
        by: a key of COLUMNS.
    """
    values = metadata[COLUMNS[by]]
    if by == "age":
        ages = values.to_numpy(np.float64)
        names = np.array([name for name, _ in AGE_BANDS])
        band = np.searchsorted([end for _, end in AGE_BANDS], np.nan_to_num(ages), side="right")
        return np.where(np.isfinite(ages), names[np.minimum(band, len(names) - 1)], UNKNOWN).tolist()
    return values.fillna(UNKNOWN).astype(str).str.strip().replace("", UNKNOWN).tolist()


def subgroups(
    metadata: "pd.DataFrame",
    labels: Indices,
    probabilities: Probabilities,
    threshold: float | None,
    bootstrap: Bootstrap,
    taxonomy: Taxonomy,
) -> dict[str, Grouping]:
    """The metrics of each group.

    Args:
        metadata: the columns of the images artifact, one row per test image, in their order.
        labels: true class indices, shape (n,).
        probabilities: finite, shape (n, classes).
        threshold: of the malignant score, above which the answer is malignant; None if there is none.
        bootstrap: over the lesions of the test images.
        taxonomy: of the classes.

    Returns:
        Key of COLUMNS -> its groups. Sensitivity and specificity are those at the threshold.
    """
    result: dict[str, Grouping] = {}
    malignant, scores = ask([taxonomy.index[code] for code in taxonomy.malignant], labels, probabilities)
    right = probabilities.argmax(axis=1) == labels
    for by, column in COLUMNS.items():
        names = np.array(groups_of(metadata, by), dtype=str)
        if set(names) == {UNKNOWN}:
            result[by] = Grouping(reason=f"The metadata has no {column} of the test images.")
            continue
        masks = {name: names == name for name in _ordered(names, by)}
        metrics = _metrics(masks, labels, right, malignant, scores, threshold, bootstrap, taxonomy)
        result[by] = Grouping(
            groups=tuple(
                Group(
                    group=name,
                    images=int(mask.sum()),
                    lesions=bootstrap.lesions_of(mask),
                    malignant_lesions=bootstrap.lesions_of(mask & malignant) if taxonomy.malignant else None,
                    too_small=bootstrap.lesions_of(mask) < LEAST_LESIONS,
                    metrics=metrics[name],
                )
                for name, mask in masks.items()
            )
        )
    return result


def _ordered(names: NDArray[np.str_], by: str) -> list[str]:
    """Ages by age, others the largest first; unknown last."""
    values, counts = np.unique(names, return_counts=True)
    bands = [name for name, _ in AGE_BANDS]
    sizes = dict(zip(values.tolist(), counts.tolist(), strict=True))

    def rank(name: str) -> tuple[int, str]:
        return (bands.index(name), "") if by == "age" else (-sizes[name], name)

    known = sorted((name for name in sizes if name != UNKNOWN), key=rank)
    return known + [UNKNOWN] * (UNKNOWN in sizes)


def _metrics(
    masks: dict[str, NDArray[np.bool_]],
    labels: Indices,
    right: NDArray[np.bool_],
    malignant: NDArray[np.bool_],
    scores: NDArray[np.float64],
    threshold: float | None,
    bootstrap: Bootstrap,
    taxonomy: Taxonomy,
) -> dict[str, dict[str, MetricOfGroup]]:
    """Group -> metric -> what it came to; one pass over the resamples for all groups."""
    said = scores >= (np.inf if threshold is None else threshold)
    undefined = np.zeros(len(labels), bool)
    shares: dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]] = {}
    lesions: dict[str, int] = {}
    classes = [labels == index for index in range(len(taxonomy.codes))]
    for name, mask in masks.items():
        ill, healthy = mask & malignant, mask & ~malignant
        shares[f"{name}:accuracy"] = right, mask
        if taxonomy.malignant:
            shares[f"{name}:malignant_sensitivity"] = said, undefined if threshold is None else ill
            shares[f"{name}:malignant_specificity"] = ~said, undefined if threshold is None else healthy
            lesions[f"{name}:malignant_auc"] = min(bootstrap.lesions_of(ill), bootstrap.lesions_of(healthy))
        lesions[f"{name}:balanced_accuracy"] = min(bootstrap.lesions_of(mask & chosen) for chosen in classes)
    lesions |= {key: bootstrap.lesions_of(among) for key, (_, among) in shares.items()}

    def statistic(weights: Weights) -> Samples:
        samples: Samples = {}
        for name, mask in masks.items():
            inside = weights[:, mask]
            if taxonomy.malignant:
                samples[f"{name}:malignant_auc"] = weighted_auc(inside, malignant[mask], scores[mask])
            with np.errstate(invalid="ignore"):
                recalls = [inside @ (right & chosen)[mask] / (inside @ chosen[mask]) for chosen in classes]
            samples[f"{name}:balanced_accuracy"] = np.mean(recalls, axis=0)
        return samples

    found = bootstrap.shares(shares) | bootstrap.metrics(statistic, lesions)
    result: dict[str, dict[str, MetricOfGroup]] = {name: {} for name in masks}
    for name in masks:
        for metric in (*METRICS, *(MALIGNANT_METRICS if taxonomy.malignant else ())):
            of_group, rests_on = found[f"{name}:{metric}"], lesions[f"{name}:{metric}"]
            result[name][metric] = MetricOfGroup(
                value=of_group.value,
                interval=of_group.interval,
                lesions=rests_on,
                too_small=rests_on < LEAST_LESIONS,
            )
    return result
