"""Every image counts once."""

import numpy as np

from lesionflow.data.balance_strategy import BalanceStrategy

STRATEGY = BalanceStrategy(
    "none",
    "Nothing is corrected: every image is seen once an epoch and counts alike.",
    lambda counts: (np.ones(len(counts)), np.ones(len(counts))),
)
