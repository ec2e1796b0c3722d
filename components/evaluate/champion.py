"""The model against the version in use, on the same test lesions: those that version was not trained on."""

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lesionflow.artifacts.model_folder import read_labels
from lesionflow.artifacts.tables import SPLIT_COLUMNS, read_table
from lesionflow.errors import UserError
from lesionflow.metrics.classification import AVERAGES, classification_metrics
from lesionflow.metrics.paired import paired_differences
from lesionflow.metrics.statistics import LEAST_LESIONS, Judged
from lesionflow.models.loaded_model import LoadedModel, load_model
from lesionflow.registry.versions import SPLIT, DamagedVersion, fetch_model, version_uri
from lesionflow.taxonomy import Taxonomy

Predict = Callable[[LoadedModel, pd.DataFrame], Judged]
"""What a model says of the images of a table."""


def compare_with_champion(
    registry: str, version: str, test: pd.DataFrame, judged: Judged, predict: Predict, seed: int, taxonomy: Taxonomy
) -> dict[str, Any]:
    """Compare a model with the version in use.

    What that version was trained or validated on, it knows: those lesions, and those images should their lesion
    have another id there, are left out for both models.

    Args:
        registry: folder, gs:// or s3:// prefix.
        version: in it; empty if there is none yet.
        test: the test table.
        judged: what the model said of its images, in its order.
        predict: of the champion.
        seed: of the resampling.
        taxonomy: of the test images.

    Returns:
        `status` (compared, none or not compared), `version`, `reason` (why it is not compared), `images` and `lesions`
        of the comparison, `left_out` (likewise, because the champion knows them), `model` and `champion` (AVERAGES of
        each on those images), and `differences` (model minus champion: value, interval, p).

    Raises:
        UserError: the registry cannot be read.
    """
    section: dict[str, Any] = {
        "status": "not compared",
        "version": version or None,
        "reason": None,
        "images": None,
        "lesions": None,
        "left_out": None,
        "model": None,
        "champion": None,
        "differences": {},
    }
    if not version:
        return section | {"status": "none", "reason": "The registry has no champion yet."}
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = fetch_model(version_uri(registry, version), folder)
        except DamagedVersion as error:  # what cannot be read at this moment raises, so that a retry can read it
            return section | {"reason": str(error)}
        if not (path / SPLIT).is_file():
            return section | {"reason": f"The champion {version} does not say what it was trained on."}
        try:
            known, (classes, _) = read_table(path / SPLIT, SPLIT_COLUMNS), read_labels(path)
            if classes.codes != taxonomy.codes:
                return section | {"reason": f"The champion {version} knows other classes: {', '.join(classes.codes)}."}
            model = load_model(path)
        except UserError as error:
            return section | {"reason": str(error)}
        trained = known[known["subset"] != "test"]
        new = ~(test["lesion_id"].isin(trained["lesion_id"]) | test["image_id"].isin(trained["image_id"])).to_numpy()
        left, kept = test[~new], test[new]
        section |= {
            "images": len(kept),
            "lesions": int(kept["lesion_id"].nunique()),
            "left_out": {"images": len(left), "lesions": int(left["lesion_id"].nunique())},
        }
        if section["lesions"] < LEAST_LESIONS:
            return section | {
                "reason": f"The champion {version} was trained on all but {section['lesions']} of the test lesions; "
                f"a comparison takes {LEAST_LESIONS}."
            }
        theirs = predict(model, kept)
    ours = judged.probabilities[new]
    if judged.invalid or theirs.invalid:
        who = "model" if judged.invalid else "champion"
        return section | {"reason": f"The {who} gave probabilities that are not numbers."}
    differences = paired_differences(theirs.labels, ours, theirs.probabilities, theirs.lesion_ids, seed, taxonomy.codes)
    return section | {
        "status": "compared",
        "model": _averages(theirs.labels, ours, taxonomy),
        "champion": _averages(theirs.labels, theirs.probabilities, taxonomy),
        "differences": differences,
    }


def _averages(labels: np.ndarray, probabilities: np.ndarray, taxonomy: Taxonomy) -> dict[str, float | None]:
    measured = classification_metrics(labels, probabilities, taxonomy.codes)
    return {name: measured[name] for name in AVERAGES}
