"""Options of training that mean the same on this machine and on a cluster."""

from typing import Annotated

import typer

MinF1 = Annotated[float | None, typer.Option(help="Least value of the gate's metric that passes.", show_default="0.7")]
Metric = Annotated[str | None, typer.Option(help="What the gate judges.", show_default="macro_f1")]
PolicyFile = Annotated[
    str | None, typer.Option(help="YAML or JSON file of all that the gate asks for, instead.", show_default="none")
]
Seed = Annotated[int, typer.Option(min=0, help="Of the split, the batch order and the augmentation.")]
LeakGuard = Annotated[bool, typer.Option(help="Look for near-duplicates, and keep them on one side of the split.")]
Folds = Annotated[
    int | None, typer.Option(help="Cross-validate with so many folds; promotes nothing.", show_default="none")
]
