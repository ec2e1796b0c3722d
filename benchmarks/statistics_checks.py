"""Are the statistics of the evaluation right? Simulated lesions of which the truth is known.

    python benchmarks/statistics_checks.py [--data-sets 200] [--seed 0]

Lesions come in seven classes as rare as HAM10000's, with as many images each; a made-up model knows some classes
better than others and errs on all images of a lesion alike. The truth of a metric is its value on very many
lesions. The table says, of simulated test sets of 1,494 lesions (about 2,000 images):

- how often the 95 % interval holds the truth (target: 93 to 97 %), and how often one that resamples images
  does, which takes the images of a lesion for independent;
- how often the paired comparison of two equally good models finds a difference at p < 0.05 (target: 5 %), and
  one of two that differ by a little (the more the better);
- how far the fitted temperature is from the one that spoilt the probabilities.

With --data-sets n, a coverage c has a standard error of sqrt(c (1 - c) / n): 1.5 % for 200. About five seconds
per data set on one core, so minutes; smaller versions of all of it are among the tests.
"""

import argparse
import time
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from lesionflow.metrics.bootstrap import Bootstrap, Interval
from lesionflow.metrics.calibration import calibration_metrics, fit_temperature, scale
from lesionflow.metrics.classification import CLASS_METRICS, intervals
from lesionflow.metrics.classification import classification_metrics as point_metrics
from lesionflow.metrics.operating_points import auc_metric, operating_points
from lesionflow.metrics.paired import paired_differences
from lesionflow.taxonomy import HAM10000

LESIONS = {"akiec": 228, "bcc": 327, "bkl": 727, "df": 73, "mel": 614, "nv": 5403, "vasc": 98}
IMAGES_PER_LESION = {"akiec": 1.43, "bcc": 1.57, "bkl": 1.51, "df": 1.58, "mel": 1.81, "nv": 1.24, "vasc": 1.45}
SKILL = np.array([1.2, 1.8, 1.8, 1.3, 1.8, 3.3, 2.8])
HABIT = np.array([0, 0, 0.3, -0.6, 0.3, 1.2, -0.4])
TEST_LESIONS, VALIDATION_LESIONS, TRUTH_LESIONS = 1494, 747, 400_000
RESAMPLES = 1000
THRESHOLD = 0.3
TEMPERATURE = 0.5


@dataclass(frozen=True)
class Simulated:
    """Images and what the made-up model says of them."""

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    lesion_ids: list[str]


def simulate(random: np.random.Generator, lesions: int, noise: float = 0.0, spread: float = 0.6) -> list[Simulated]:
    """The same images as two equally good models see them; `noise` is what sets the two apart.

    The number of lesions of each class is fixed, as `split` fixes it.
    """
    share = np.array([LESIONS[label] for label in HAM10000.codes]) / sum(LESIONS.values())
    kind = np.repeat(np.arange(len(HAM10000.codes)), np.maximum(1, np.round(share * lesions).astype(int)))
    more = random.poisson(np.array([IMAGES_PER_LESION[label] - 1 for label in HAM10000.codes])[kind])
    lesion = np.repeat(np.arange(len(kind)), 1 + np.minimum(more, 5))
    labels = kind[lesion]
    logits = random.normal(scale=1.1, size=(len(kind), len(HAM10000.codes)))[lesion] + HABIT
    logits += random.normal(scale=spread, size=logits.shape)
    logits[np.arange(len(labels)), labels] += SKILL[labels]
    ids = [str(index) for index in lesion]
    views = [logits + random.normal(scale=noise, size=logits.shape) if noise else logits for _ in range(2)]
    return [Simulated(labels, np.asarray(softmax(view / TEMPERATURE, axis=1)), ids) for view in views]


def truths() -> dict[str, float]:
    """The metrics on very many lesions."""
    big = simulate(np.random.default_rng(12345), TRUTH_LESIONS)[0]
    found = point_metrics(big.labels, big.probabilities, HAM10000.codes)
    result: dict[str, float | None] = {name: metric.value for name, metric in found.averages.items()}
    result |= {
        f"{name}:{label}": found.per_class[label].metric(name).value
        for label in HAM10000.codes
        for name in CLASS_METRICS
    }
    one = Bootstrap(big.lesion_ids, 0, 1, big.labels)
    metrics = calibration_metrics(big.labels, big.probabilities, one, classes=HAM10000.codes)
    result |= {"ece": metrics.ece.value, "brier": metrics.brier.value, "nll": metrics.nll.value}
    malignant, score = _malignant(big)
    result["malignant auc"] = auc_metric(malignant, score, one).value
    result["malignant sensitivity"] = float((score >= THRESHOLD)[malignant].mean())
    return {name: value for name, value in result.items() if value is not None}


def _malignant(images: Simulated) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    columns = [HAM10000.codes.index(label) for label in ("akiec", "bcc", "mel")]
    return np.isin(images.labels, columns), images.probabilities[:, columns].sum(axis=1)


def all_intervals(images: Simulated, lesion_ids: list[str]) -> dict[str, Interval]:
    """Every interval that is checked, for the lesions as given."""
    found: dict[str, Interval] = dict(
        intervals(images.labels, images.probabilities, lesion_ids, 0, HAM10000.codes, RESAMPLES)
    )
    bootstrap = Bootstrap(lesion_ids, 0, RESAMPLES, images.labels)
    metrics = calibration_metrics(images.labels, images.probabilities, bootstrap, classes=HAM10000.codes)
    found |= {"ece": metrics.ece.interval, "brier": metrics.brier.interval, "nll": metrics.nll.interval}
    malignant, score = _malignant(images)
    found["malignant auc"] = auc_metric(malignant, score, bootstrap).interval
    rate = bootstrap.shares({"rate": (score >= THRESHOLD, malignant)})["rate"]
    return found | {"malignant sensitivity": rate.interval}


def coverage(data_sets: int, seed: int) -> dict[str, tuple[float, float, float]]:
    """Metric -> share of intervals over lesions, and over images, that hold the truth, and the truth itself."""
    truth = truths()
    random = np.random.default_rng(seed)
    hits: defaultdict[str, list[list[bool]]] = defaultdict(list)
    for _ in range(data_sets):
        images = simulate(random, TEST_LESIONS)[0]
        alone = [str(index) for index in range(len(images.labels))]
        kinds = [all_intervals(images, ids) for ids in (images.lesion_ids, alone)]
        for name, value in truth.items():
            bounds = [kind.get(name, (None, None)) for kind in kinds]
            hits[name].append([low is not None and high is not None and low <= value <= high for low, high in bounds])
    shares = {name: np.mean(rows, axis=0) for name, rows in hits.items()}
    return {name: (float(share[0]), float(share[1]), truth[name]) for name, share in shares.items()}


def alarms(data_sets: int, seed: int, handicap: float) -> dict[str, float]:
    """Average -> share of comparisons with p < 0.05, when the second model has a handicap in its noise."""
    random = np.random.default_rng(seed)
    found: defaultdict[str, list[bool]] = defaultdict(list)
    for _ in range(data_sets):
        first, second = simulate(random, TEST_LESIONS, noise=0.5)
        worse = np.log(second.probabilities) + random.normal(scale=handicap, size=second.probabilities.shape)
        probabilities = softmax(worse, axis=1)
        differences = paired_differences(
            first.labels, first.probabilities, probabilities, first.lesion_ids, 0, HAM10000.codes, RESAMPLES
        )
        for name, difference in differences.items():
            found[name].append(difference.p is not None and difference.p < 0.05)
    return {name: float(np.mean(values)) for name, values in found.items()}


def temperatures(data_sets: int, seed: int) -> list[tuple[float, float, float]]:
    """Spoilt by, mean fitted, standard deviation: labels drawn with the probabilities, which then are spoilt."""
    random = np.random.default_rng(seed)
    rows: list[tuple[float, float, float]] = []
    for wrong_by in (0.4, 0.7, 1.0, 1.5):
        fitted: list[float] = []
        for _ in range(data_sets):
            honest = softmax(random.normal(scale=2, size=(VALIDATION_LESIONS, len(HAM10000.codes))), axis=1)
            drawn = (honest.cumsum(axis=1) < random.random((len(honest), 1))).sum(axis=1)
            labels = np.minimum(drawn, len(HAM10000.codes) - 1)
            found = fit_temperature(labels, scale(honest, wrong_by))
            fitted.append(float("nan") if found is None else found)
        rows.append((1 / wrong_by, float(np.mean(fitted)), float(np.std(fitted))))
    return rows


def thresholds(data_sets: int, seed: int) -> list[tuple[str, float, float, float]]:
    """What a threshold from validation reaches on test images: target, at least, mean reached, standard deviation."""
    random = np.random.default_rng(seed)
    reached: defaultdict[tuple[str, float], list[float]] = defaultdict(list)
    for _ in range(data_sets):
        validation, test = (simulate(random, lesions)[0] for lesions in (VALIDATION_LESIONS, TEST_LESIONS))
        points = operating_points(
            (validation.labels, validation.probabilities), test.labels, test.probabilities,
            Bootstrap(test.lesion_ids, 0, 2, test.labels), taxonomy=HAM10000)["malignant"].points  # fmt: skip
        for point in points:
            value = point.test and point.test.metric(point.target).value
            if value is None:
                raise SystemExit(f"No {point.target} was reached: {point.reason}")
            reached[point.target, point.at_least].append(value)
    return [(*key, float(np.mean(values)), float(np.std(values))) for key, values in reached.items()]


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-sets", type=int, default=200, help="simulated test sets of each kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    count, seed = options.data_sets, options.seed
    started = time.perf_counter()
    print(f"| 95 % interval of | truth | holds it | over images |  ({count} data sets)\n|---|---|---|---|")
    for name, (over_lesions, over_images, truth) in coverage(count, seed).items():
        print(f"| {name} | {truth:.3f} | {over_lesions:.1%} | {over_images:.1%} |")
    equal, unequal = alarms(count, seed + 1, 0.0), alarms(count, seed + 2, 1.0)
    print("\n| paired comparison, p < 0.05 | equal models | second handicapped |\n|---|---|---|")
    for name, rate in equal.items():
        print(f"| {name} | {rate:.1%} | {unequal[name]:.1%} |")
    print("\n| true temperature | fitted, mean | standard deviation |\n|---|---|---|")
    for true, mean, deviation in temperatures(count, seed + 3):
        print(f"| {true:.3f} | {mean:.3f} | {deviation:.3f} |")
    print("\n| malignant: on validation at least | on test, mean | standard deviation |\n|---|---|---|")
    for target, least, mean, deviation in thresholds(count, seed + 4):
        print(f"| {target} {least:.0%} | {mean:.1%} | {deviation:.1%} |")
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
