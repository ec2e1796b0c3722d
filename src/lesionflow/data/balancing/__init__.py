"""The balance strategies, a file each: to add one, add a file that defines `STRATEGY`."""

from lesionflow.data.balance_strategy import BalanceStrategy
from lesionflow.runtime.discover import find_all

STRATEGIES = {each.name: each for each in find_all(__name__, "STRATEGY", BalanceStrategy).values()}
"""Name in a recipe, which is the file's with - for _ -> strategy."""
