"""The loss is weighted by 1 / n, so that every class has the same share of it."""

from lesionflow.data.balance_strategy import by_loss

STRATEGY = by_loss(
    "class-weight", "The loss is weighted so that every class has the same share of it.", lambda counts: 1 / counts
)
