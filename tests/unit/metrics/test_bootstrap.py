"""The bootstrap over lesions, against scipy's Wilson interval, the variance formula of clusters, and simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lesionflow.metrics import bootstrap as module
from lesionflow.metrics.bootstrap import Bootstrap, Metric, distance, percentiles, wilson
from lesionflow.metrics.classification import class_statistic, classification_metrics
from lesionflow.taxonomy import HAM10000


def _clusters(random: np.random.Generator, lesions: int) -> tuple[np.ndarray, list[str]]:
    """What happened to images of 1 to 5 per lesion, alike within a lesion; of all lesions, 70 % on average."""
    chance = random.beta(0.7, 0.3, lesions)
    images = random.integers(1, 6, lesions)
    lesion = np.repeat(np.arange(lesions), images)
    return random.random(len(lesion)) < chance[lesion], [str(index) for index in lesion]


def test_without_clusters_a_share_has_wilsons_interval():
    happened = np.arange(400) % 5 == 0
    everything = np.ones(400, bool)

    metric = Bootstrap([str(i) for i in range(400)], seed=0, resamples=4000).shares({"share": (happened, everything)})

    expected = stats.binomtest(80, 400).proportion_ci(0.95, method="wilson")
    assert metric["share"].value == pytest.approx(0.2)
    assert metric["share"].interval == pytest.approx((expected.low, expected.high), abs=2e-3)


def test_the_spread_of_the_resamples_says_how_many_independent_images_there_are():
    samples = np.tile([0.2 - 0.04, 0.2 + 0.04], 500)  # the standard error of a share of 0.2 of 100 images

    expected = stats.binomtest(20, 100).proportion_ci(0.95, method="wilson")
    assert wilson(0.2, samples, lesions=10**6).interval == pytest.approx((expected.low, expected.high), rel=1e-4)


def test_few_lesions_leave_the_spread_itself_uncertain():
    """Both ends are where the metric is as many standard errors away as Student's quantile for m - 1 says."""
    samples = np.tile([0.7 - 0.05, 0.7 + 0.05], 500)
    lesions = 8
    low, high = wilson(0.7, samples, lesions).interval

    error = 0.05**2 / (0.7 * 0.3)  # squared, of a share p as a part of p (1 - p)
    for end in (low, high):
        assert end is not None
        assert (0.7 - end) ** 2 / (error * end * (1 - end)) == pytest.approx(stats.t.ppf(0.975, lesions - 1) ** 2)


def test_a_share_without_exception_is_not_called_certain():
    lesions = [str(i // 2) for i in range(30)]

    metric = Bootstrap(lesions, seed=0).shares({"share": (np.ones(30, bool), np.ones(30, bool))})["share"]

    expected = stats.binomtest(15, 15).proportion_ci(0.95, method="wilson")  # as many as there are lesions, not images
    assert metric.value == 1.0
    assert metric.interval == pytest.approx((expected.low, 1.0))


def test_the_spread_is_that_of_the_linearised_ratio():
    """Cochran 1977, section 2.11: the variance of a ratio of sums over clusters."""
    happened, lesions = _clusters(np.random.default_rng(0), 500)
    bootstrap = Bootstrap(lesions, seed=0, resamples=4000)
    number = np.array(lesions).astype(int)
    hits, sizes = np.bincount(number, happened), np.bincount(number)
    share = happened.mean()

    samples = bootstrap.samples(lambda weights: {"share": weights @ happened / weights.sum(axis=1)})["share"]

    expected = np.sqrt(((hits - share * sizes) ** 2).sum()) / sizes.sum()
    assert samples.std() == pytest.approx(expected, rel=0.05)
    assert samples.std() > 1.3 * np.sqrt(share * (1 - share) / len(happened))


def test_intervals_over_lesions_cover_and_those_over_images_do_not():
    random = np.random.default_rng(1)
    covered = {"lesions": 0, "images": 0}
    for _ in range(150):
        happened, lesions = _clusters(random, 80)
        everything = np.ones(len(happened), bool)
        for unit, ids in {"lesions": lesions, "images": [str(i) for i in range(len(lesions))]}.items():
            metric = Bootstrap(ids, seed=0, resamples=400).shares({"share": (happened, everything)})["share"]
            low, high = metric.interval
            covered[unit] += low <= 0.7 <= high  # pyright: ignore[reportOptionalOperand]
    assert 0.91 <= covered["lesions"] / 150 <= 0.99
    assert covered["images"] / 150 < 0.88


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), images=st.integers(1, 30), ties=st.booleans())
def test_metrics_of_a_resample_are_those_of_its_images_written_out(seed: int, images: int, ties: bool):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 7, images)
    probabilities = random.dirichlet(np.ones(7), images)
    if ties:
        probabilities = probabilities.round(1)
    counts = random.multinomial(images, np.full(images, 1 / images))
    plain = classification_metrics(
        np.repeat(labels, counts), np.repeat(probabilities, counts, axis=0), classes=HAM10000.codes
    )

    samples = class_statistic(labels, probabilities, classes=HAM10000.codes)(counts[None].astype(float))

    for name in ("macro_f1", "weighted_f1", "balanced_accuracy", "accuracy", "macro_auc"):
        _same(samples[name][0], plain.averages[name].value)
    claimed = np.array(plain.confusion_matrix).sum(axis=0)
    for index, label in enumerate(HAM10000.codes):
        entry = plain.per_class[label]
        for name in ("recall", "f1", "auc"):
            _same(samples[f"{name}:{label}"][0], entry.metric(name).value)
        _same(samples[f"precision:{label}"][0], entry.precision.value if claimed[index] else None)


def _same(value: float, expected: float | None) -> None:
    assert np.isnan(value) if expected is None else value == pytest.approx(expected)


def test_draws_depend_on_the_lesions_and_not_on_the_order_of_images_or_the_memory(monkeypatch):
    happened, lesions = _clusters(np.random.default_rng(2), 40)
    order = np.random.default_rng(3).permutation(len(lesions))

    def share(happened: np.ndarray, lesions: list[str]) -> np.ndarray:
        statistic = lambda weights: {"share": weights @ happened / weights.sum(axis=1)}  # noqa: E731
        return Bootstrap(lesions, seed=7, resamples=100).samples(statistic)["share"]

    expected = share(happened, lesions)
    np.testing.assert_allclose(share(happened[order], [lesions[i] for i in order]), expected, rtol=1e-12)
    monkeypatch.setattr(module, "_BLOCK", 300)
    np.testing.assert_allclose(share(happened, lesions), expected, rtol=1e-12)
    assert expected.shape == (100,)


def test_a_share_of_nothing_is_undefined():
    nothing = np.zeros(4, bool)

    assert Bootstrap(list("abcd"), seed=0).shares({"share": (~nothing, nothing)}) == {
        "share": Metric(value=None, interval=(None, None))
    }


@given(
    value=st.floats(0, 1),
    samples=st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), min_size=1, max_size=20),
    lesions=st.integers(1, 1000),
)
def test_wilsons_interval_lies_in_0_to_1_and_holds_the_metric(value: float, samples: list[float], lesions: int):
    low, high = wilson(value, np.array(samples), lesions).interval

    assert low is not None
    assert high is not None
    assert 0 <= low <= value + 1e-9
    assert value - 1e-9 <= high <= 1


def test_a_distance_reaches_further_down_than_up_by_its_bias():
    samples = np.random.default_rng(0).normal(0.05, 0.004, 5000)

    low, high = distance(0.03, samples).interval

    assert (low, high) == pytest.approx((0.03 - 0.02 - 1.96 * 0.004, 0.03 + 1.96 * 0.004), abs=5e-4)
    assert distance(0.001, samples).interval[0] == 0


def test_percentiles_are_numpys():
    assert percentiles(5.0, np.arange(1001) / 100).interval == pytest.approx((0.25, 9.75))


def test_each_draw_has_as_many_lesions_of_a_class_as_there_are():
    random = np.random.default_rng(4)
    lesions = [f"L{number}" for number in random.integers(0, 60, 150)]
    kind = {name: number % 3 for number, name in enumerate(sorted(set(lesions)))}
    classes = [kind[name] for name in lesions]
    first = np.array([lesions.index(name) == place for place, name in enumerate(lesions)])  # one image of each lesion

    def lesions_of(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {str(label): weights @ (first & (np.array(classes) == label)) for label in range(3)}

    drawn = Bootstrap(lesions, seed=0, resamples=50, strata=classes).samples(lesions_of)
    free = Bootstrap(lesions, seed=0, resamples=50).samples(lesions_of)

    for label in range(3):
        np.testing.assert_allclose(drawn[str(label)], sum(value == label for value in kind.values()))
        assert len(set(free[str(label)])) > 1


def test_few_lesions_spread_as_the_mean_of_as_many_independent_values_does():
    """The variance of a mean of m values is estimated by their sum of squares / (m (m - 1)), not / m^2."""
    values = np.random.default_rng(5).random(6)
    bootstrap = Bootstrap(list("abcdef"), seed=0, resamples=40_000, strata=[0] * 6)

    samples = bootstrap.samples(lambda weights: {"mean": weights @ values / weights.sum(axis=1)})["mean"]

    assert samples.var() == pytest.approx(values.var(ddof=1) / 6, rel=0.03)


def test_a_lesion_of_two_classes_is_drawn_whole_and_once():
    lesions, classes = ["a", "a", "b"], [1, 0, 1]
    weights = Bootstrap(lesions, seed=0, resamples=20, strata=classes).samples(
        lambda drawn: {str(place): drawn[:, place] for place in range(3)}
    )

    assert all((values == 1).all() for values in weights.values())
