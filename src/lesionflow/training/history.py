"""The history of a training over its three steps, as a table and as TensorBoard events."""

from pathlib import Path
from typing import Any

import pandas as pd

COLUMNS = ("phase", "epoch", "loss", "accuracy", "val_loss", "val_macro_f1", "learning_rate", "seconds")
"""`epoch` counts from 1 in its phase. `loss` and `accuracy` are means over the epoch's drawn rows while
the weights change; `val_loss` and `val_macro_f1` are of the validation images, after it."""


def write_history(rows: list[dict[str, Any]], path: Path) -> None:
    """Write the rows, oldest first, as CSV."""
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(path, index=False)


def read_history(path: Path) -> list[dict[str, Any]]:
    """The rows that an earlier step wrote."""
    return [{str(name): value for name, value in row.items()} for row in pd.read_csv(path).to_dict("records")]


def write_events(rows: list[dict[str, Any]], folder: Path) -> None:
    """Write the curves for TensorBoard; its step is the epoch counted over all phases."""
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(folder), write_to_disk=True) as writer:
        for step, row in enumerate(rows, start=1):
            for name in COLUMNS[2:]:
                writer.add_scalar(name, row[name], step)
