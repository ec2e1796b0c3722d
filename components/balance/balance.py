"""The balanced training table: how often each row is drawn, or how much its loss weighs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lesionflow.artifacts import tables
from lesionflow.data.balancing import STRATEGIES
from lesionflow.errors import UserError
from lesionflow.recipe import load_recipe
from lesionflow.reporting.page import render_page
from lesionflow.reporting.pictures import class_bars
from lesionflow.runtime.files import write_text
from lesionflow.runtime.progress import report


@dataclass(frozen=True)
class BalanceFacts:
    """What balancing did; the metadata of the balanced table."""

    strategy: str
    before: dict[str, int]
    """Images of each class."""
    after: dict[str, float]
    """Images of each class as training sees them."""


def balance_table(
    train: str | Path, balanced: str | Path, picture: str | Path, *, recipe: str = "published", strategy: str = ""
) -> BalanceFacts:
    """Write the training table with `weight` and `sampling_weight` per row, and a page that shows what changed.

    Args:
        train: the training table of a split.
        balanced: where to write the balanced table.
        picture: where to write the page.
        recipe: a preset, a file, or the recipe itself; its `balance` is the strategy.
        strategy: overrules the recipe's, if not empty.

    Raises:
        UserError: an unknown strategy or recipe, or a table that is not a training table.
    """
    strategy = strategy or load_recipe(recipe).balance
    if strategy not in STRATEGIES:
        raise UserError(f"There is no balancing strategy {strategy!r}; expected one of {', '.join(STRATEGIES)}.")
    table = tables.Split.load(train)
    if table.empty or (table["subset"] != "train").any():
        found = ", ".join(sorted(set(table["subset"]))) or "no rows"
        raise UserError(f"The table {train} holds {found}; expected the training table, as only that is balanced.")
    before = table["dx"].value_counts().sort_index()
    weight, sampling_weights = STRATEGIES[strategy].rows(before.to_numpy())
    table["weight"] = table["dx"].map(dict(zip(before.index, weight, strict=True)))
    table["sampling_weight"] = table["dx"].map(dict(zip(before.index, sampling_weights, strict=True)))
    tables.Balanced.store(table, balanced)

    after = (table["weight"] * table["sampling_weight"]).groupby(table["dx"]).sum()
    images = {str(label): int(before[label]) for label in before.index}  # a split leaves no class out
    counted = {str(label): round(float(after[label]), 1) for label in before.index}
    write_text(picture, _draw_page(strategy, images, counted))
    report("headline", text=f"{strategy}, largest to smallest class {_ratio(before)} → {_ratio(after)}")
    return BalanceFacts(strategy, images, counted)


def _ratio(sizes: "pd.Series[Any]") -> str:
    return f"{sizes.max() / sizes.min():.3g}"


def _draw_page(strategy: str, before: dict[str, int], after: dict[str, float]) -> str:
    """Draw a page with one bar per class before and after."""
    title = f"Training images before and after balancing ({strategy})"
    bars = class_bars(
        {"before": before, "after": {label: round(value) for label, value in after.items()}}, title, "images"
    )
    return render_page(title, f"<h1>{title}</h1>\n<p>{STRATEGIES[strategy].about}</p>\n{bars}")
