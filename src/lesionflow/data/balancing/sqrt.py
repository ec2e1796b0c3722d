"""A class is drawn in proportion to the square root of its size (Mahajan et al. 2018, arXiv 1805.00932)."""

import numpy as np

from lesionflow.data.balance_strategy import by_draws

STRATEGY = by_draws("sqrt", "Classes are drawn in proportion to the square root of their size.", np.sqrt)
