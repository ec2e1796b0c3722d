"""Macro-F1: the mean of the classes' F1."""

from lesionflow.metrics.average import AverageDefinition, HubMetric

AVERAGE = AverageDefinition(
    name="macro_f1",
    title="macro-F1",
    place=10,
    macro=True,
    value=lambda answers: float(answers.f1.mean()),
    resampled=lambda resamples: resamples.f1.mean(axis=1),
    hub=HubMetric("f1", {"average": "macro"}),
)
