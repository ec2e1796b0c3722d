"""The loss is weighted by (1 - BETA) / (1 - BETA ** n) (Cui et al. 2019, arXiv 1901.05555, equation 4)."""

from lesionflow.data.balance_strategy import by_loss

BETA = 0.999
"""Cui et al.'s choice for their large data sets.

It says that about 1 / (1 - BETA) = 1,000 images of a class are all there is to see of it. With their
other value, 0.9999, classes of some thousand images would not reach saturation, and the weights
would be those of `class_weight`.
"""

STRATEGY = by_loss(
    "effective-number",
    "The loss is weighted by the effective number of images (Cui et al. 2019).",
    lambda counts: (1 - BETA) / (1 - BETA**counts),
)
