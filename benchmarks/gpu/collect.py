"""Pool the folds that were trained: macro-F1 and balanced accuracy over all out-of-fold images, interval over lesions.

usage: .venv/bin/python benchmarks/gpu/collect.py OUT
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score, classification_report, f1_score, log_loss

DRAWS = 1000


def macro_f1(truth: "pd.Series[str]", predicted: "pd.Series[str]") -> float:
    """Unweighted mean over the classes."""
    return float(f1_score(truth, predicted, average="macro"))


def read(path: Path) -> pd.DataFrame:
    """Predictions with the most probable class."""
    table = pd.read_csv(path)
    table["predicted"] = table.iloc[:, 3:].idxmax(axis=1)
    return table


def pool(parts: list[pd.DataFrame]) -> str:
    """A paragraph on all folds together."""
    table = pd.concat(parts, ignore_index=True)
    lesions = list(table.groupby("lesion_id").indices.values())
    random, drawn = np.random.default_rng(0), list[float]()
    for _ in range(DRAWS):
        rows = np.concatenate([lesions[index] for index in random.integers(0, len(lesions), len(lesions))])
        drawn.append(macro_f1(table["dx"].iloc[rows], table["predicted"].iloc[rows]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    probabilities = table.iloc[:, 3:-1].to_numpy()
    loss = log_loss(table["dx"], probabilities / probabilities.sum(axis=1, keepdims=True), labels=table.columns[3:-1])
    by_fold = ", ".join(f"{macro_f1(part['dx'], part['predicted']):.3f}" for part in parts)
    return (
        f"{len(parts)} folds, {len(table):,} images: macro-F1 {macro_f1(table['dx'], table['predicted']):.4f} "
        f"({low:.3f} to {high:.3f}), by fold {by_fold}; balanced accuracy "
        f"{balanced_accuracy_score(table['dx'], table['predicted']):.4f}, log loss {loss:.4f}\n"
        f"{classification_report(table['dx'], table['predicted'], digits=3)}"
    )


def main() -> None:
    """Each recipe after each step that trains the backbone."""
    out = Path(sys.argv[1])
    for name in ("best", "published"):
        for phase in ("partial", "full"):
            if found := sorted(out.glob(f"{name}-[0-9]*-{phase}-test.csv.gz")):
                print(f"{name}, after the {phase} step: {pool([read(path) for path in found])}")


if __name__ == "__main__":
    main()
