"""Weighted F1: the mean of the classes' F1, each as often as the class has images."""

import numpy as np

from lesionflow.metrics.average import AverageDefinition, Floats, HubMetric, Resamples


def _resampled(resamples: Resamples) -> Floats:
    return np.nansum(resamples.f1 * resamples.support, axis=1) / resamples.support.sum(axis=1)


AVERAGE = AverageDefinition(
    name="weighted_f1",
    title="weighted F1",
    place=20,
    macro=False,
    value=lambda answers: float(np.average(answers.f1, weights=answers.support)),
    resampled=_resampled,
    hub=HubMetric("f1", {"average": "weighted"}),
)
