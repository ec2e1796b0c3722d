"""The history of a training over its three steps, as a table and as TensorBoard events."""

from pathlib import Path
from typing import TypedDict, cast

import pandas as pd


class EpochRow(TypedDict):
    """One epoch. `loss` and `accuracy` are means over its drawn rows while the weights change."""

    phase: str
    epoch: int
    """Counts from 1 in its phase."""
    loss: float
    accuracy: float
    val_loss: float
    """Loss on the validation images, after the epoch, as is `val_macro_f1`."""
    val_macro_f1: float
    learning_rate: float
    seconds: float


COLUMNS = tuple(EpochRow.__annotations__)


def write_history(rows: list[EpochRow], path: Path) -> None:
    """Write the rows, oldest first, as CSV."""
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(path, index=False)


def read_history(path: Path) -> list[EpochRow]:
    """Read the rows that an earlier step wrote."""
    return cast(list[EpochRow], pd.read_csv(path).to_dict("records"))


def write_events(rows: list[EpochRow], folder: Path) -> None:
    """Write the curves for TensorBoard; its step is the epoch counted over all phases."""
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(folder), write_to_disk=True) as writer:
        for step, row in enumerate(rows, start=1):
            for name in COLUMNS[2:]:
                writer.add_scalar(name, row[name], step)
