"""Accuracy: the share of the images that were answered rightly."""

from lesionflow.metrics.average import Answers, AverageDefinition, HubMetric


def _value(answers: Answers) -> float:
    from sklearn import metrics

    return float(metrics.accuracy_score(answers.labels, answers.predicted))


AVERAGE = AverageDefinition(
    name="accuracy",
    title="accuracy",
    place=40,
    macro=False,
    value=_value,
    resampled=lambda resamples: resamples.hits.sum(axis=1) / resamples.support.sum(axis=1),
    hub=HubMetric("accuracy"),
)
