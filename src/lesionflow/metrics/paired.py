"""Which of two models is better, judged on the same images."""

from collections.abc import Collection, Sequence

import numpy as np

from lesionflow.metrics.bootstrap import LEVEL, RESAMPLES, Bootstrap, Metric, Samples, Weights
from lesionflow.metrics.classification import AVERAGES, Indices, Probabilities, class_statistic


class Difference(Metric):
    """First minus second, with its 95 % interval and how surprising it were between equals; None if undefined."""

    p: float | None = None


def paired_differences(
    labels: Indices,
    first: Probabilities,
    second: Probabilities,
    lesion_ids: Sequence[str],
    seed: int,
    classes: Sequence[str],
    resamples: int = RESAMPLES,
    names: Collection[str] = tuple(AVERAGES),
) -> dict[str, Difference]:
    """The differences of metrics between two models, by a paired bootstrap over lesions.

    Both models are judged on the same draws, so what makes a lesion hard for both cancels out. Interval and
    two-sided p value take the difference as normal with the bootstrap's standard error (Efron & Tibshirani
    1993, chapter 13; Wald), so p < 0.05 exactly when the interval excludes 0. Its rate of false alarms is
    measured in `benchmarks/statistics_checks.py`. It holds the chance in the test lesions and not that in
    the training: another seed of the same recipe differs by more.

    Args:
        labels: true class indices, shape (n,), n >= 1.
        first: finite probabilities of one model, shape (n, classes).
        second: of the other, in the same order of images.
        lesion_ids: the lesion of each image, length n.
        seed: of the resampling.
        classes: the classes' codes, in order.
        resamples: how many.
        names: keys of AVERAGES, or of a class, as `recall:mel` (see `class_statistic`).

    Returns:
        Name -> difference; all None where the images lack a class that the metric needs.
    """
    statistics = [class_statistic(labels, probabilities, classes) for probabilities in (first, second)]

    def difference(weights: Weights) -> Samples:
        ours, theirs = (statistic(weights) for statistic in statistics)
        return {name: ours[name] - theirs[name] for name in names}

    point = difference(np.ones((1, len(labels))))
    samples = Bootstrap(lesion_ids, seed, resamples, labels).samples(difference)
    return {name: _difference(float(point[name][0]), samples[name]) for name in names}


def _difference(value: float, samples: np.ndarray) -> Difference:
    from scipy.special import ndtr, ndtri

    if not np.isfinite(value):
        return Difference()
    error = float(np.nanstd(samples))
    half = float(ndtri(0.5 + LEVEL / 2)) * error
    # No spread: two copies of one model, or too few lesions to tell anything by.
    p = float(2 * ndtr(-abs(value) / error)) if error > 1e-9 else 1.0
    return Difference(value=value, interval=(value - half, value + half), p=p)
