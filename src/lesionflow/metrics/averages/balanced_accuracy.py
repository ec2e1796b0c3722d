"""Balanced accuracy: the mean of the classes' recall."""

from lesionflow.metrics.average import AverageDefinition, HubMetric

AVERAGE = AverageDefinition(
    name="balanced_accuracy",
    title="balanced accuracy",
    place=30,
    macro=True,
    value=lambda answers: float(answers.recall.mean()),
    resampled=lambda resamples: resamples.recall.mean(axis=1),
    hub=HubMetric("recall", {"average": "macro"}),
)
