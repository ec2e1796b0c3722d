"""Macro AUC: the mean of the areas under the classes' one-vs-rest ROC curves."""

import numpy as np

from lesionflow.metrics.average import AverageDefinition, HubMetric

AVERAGE = AverageDefinition(
    name="macro_auc",
    title="macro AUC",
    place=50,
    macro=True,
    value=lambda answers: float(np.mean(answers.aucs)),
    resampled=lambda resamples: np.mean(resamples.aucs, axis=0),
    ranking=True,
    hub=HubMetric("roc_auc", {"average": "macro", "multi_class": "ovr"}),
)
