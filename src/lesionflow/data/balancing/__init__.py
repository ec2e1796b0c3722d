"""The balance strategies, a file each: to add one, add a file that defines `STRATEGY`."""

from typing import TYPE_CHECKING, Literal

from lesionflow.data.balance_strategy import BalanceStrategy
from lesionflow.runtime.discover import find_all

STRATEGIES = {each.name: each for each in find_all(__name__, "STRATEGY", BalanceStrategy).values()}
"""Name in a recipe -> strategy."""

if TYPE_CHECKING:
    BalanceName = str
else:
    BalanceName = Literal[*STRATEGIES]  # for the recipe's checks and its schema
